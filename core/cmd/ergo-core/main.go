// Command ergo-core runs one core.
package main

import (
	"os"

	"github.com/ergoproxy/ergo/core"
)

func main() { os.Exit(core.Main(os.Args[1:], os.Stdout, os.Stderr)) }
