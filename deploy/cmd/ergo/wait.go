package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// waitEvery is the pause between two looks at a tier.
const waitEvery = 100 * time.Millisecond

// runWait waits for one address after the other. In an image without a shell it
// is the health check, with --once.
func runWait(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("wait", "[flags] ADDRESS...", stderr)
	timeout := flags.Duration("timeout", 30*time.Second, "how long to wait for all of them together")
	once := flags.Bool("once", false, "look once and do not wait")
	quiet := flags.Bool("quiet", false, "print nothing when they are ready")
	var client adminClient
	client.flags(flags)
	if err := parse(flags, args, anyNumber); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return misuse(flags, "no address, want the admin address of a tier such as 127.0.0.1:9901, or any URL")
	}
	if err := client.open(); err != nil {
		return err
	}
	var urls []string
	for _, address := range flags.Args() {
		url, err := client.adminURL(address, "/readyz")
		if err != nil {
			return misuse(flags, "%v", err)
		}
		urls = append(urls, url)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("not ready after %v", *timeout))
	defer cancel()
	for _, url := range urls {
		if err := waitFor(ctx, &client, url, *once); err != nil {
			return err
		}
		if !*quiet {
			fmt.Fprintf(stdout, "%s is ready\n", url)
		}
	}
	return nil
}

// waitFor asks url until it answers 200. The error tells what was wrong last.
func waitFor(ctx context.Context, client *adminClient, url string, once bool) error {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for {
		err := look(ctx, client, url)
		if err == nil || once {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func look(ctx context.Context, client *adminClient, url string) error {
	status, body, err := client.get(ctx, url)
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		return nil
	}
	var answer struct{ Reasons []string }
	if json.Unmarshal(body, &answer) == nil && len(answer.Reasons) > 0 {
		return errors.New(printable(url + " is not ready: " + strings.Join(answer.Reasons, "; ")))
	}
	return refusal(url, status, body)
}
