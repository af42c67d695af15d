package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/deploy/demo"
	"github.com/ergoproxy/ergo/edge"
)

// The daemons are in here too, so that a container image holds one binary.

func runEdge(_ context.Context, args []string, stdout, stderr io.Writer) error {
	return exit(edge.Main(args, stdout, stderr))
}

func runCore(_ context.Context, args []string, stdout, stderr io.Writer) error {
	return exit(core.Main(args, stdout, stderr))
}

func exit(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}

// demoGrace is how long a demo backend lets requests finish when it ends.
const demoGrace = 10 * time.Second

func runDemoBackend(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("demo-backend", "[flags]", stderr)
	name := flags.String("name", "demo", "what the backend calls itself")
	listen := flags.String("listen", "127.0.0.1:3000", "`address` to listen on")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	s, err := demo.Listen(demo.Config{Name: *name, Address: *listen, Grace: demoGrace})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s listens on %s\n", *name, s.URL())
	return s.Run(ctx)
}
