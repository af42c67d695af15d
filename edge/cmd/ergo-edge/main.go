// Command ergo-edge runs one edge.
package main

import (
	"os"

	"github.com/ergoproxy/ergo/edge"
)

func main() { os.Exit(edge.Main(os.Args[1:], os.Stdout, os.Stderr)) }
