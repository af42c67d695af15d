package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/ergoproxy/ergo/bench/report"
)

func runReport(_ context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	out := flags.String("out", "report.html", "`file` to write the page to; what it held is lost")
	if err := parseFlags(flags, " FILE...", args, stderr); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("%w: no files given, want what loop, wan or soak wrote with --json", errUsage)
	}
	var files []*report.File
	var errs []error
	for _, path := range flags.Args() {
		f, err := report.ReadFile(path)
		files, errs = append(files, f), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var page bytes.Buffer
	if err := report.Write(&page, files); err != nil {
		return err
	}
	if err := os.WriteFile(*out, page.Bytes(), 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, *out)
	return err
}
