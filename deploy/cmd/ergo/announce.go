package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/deploy/stack"
)

// waitReady returns when every edge can serve.
func waitReady(ctx context.Context, s *stack.Stack) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for _, e := range s.Edges {
		for !e.Status().Ready {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// announce says what runs and how to try it.
func (f *upFlags) announce(w io.Writer, s *stack.Stack) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nErgo is up: %d edges, %d cores", len(s.Edges), len(s.Cores))
	if len(s.Demo) > 0 {
		fmt.Fprintf(&b, ", %d demo backends", len(s.Demo))
	} else {
		fmt.Fprintf(&b, " in front of %s", strings.Join(f.backends, ", "))
	}
	b.WriteString(".\n\n")
	for i, e := range s.Edges {
		fmt.Fprintf(&b, "  edge-%d  %s  %s (h1, h2, h3)  admin http://%s\n", i+1, s.URL(i), s.TLSURL(i), e.AdminAddr())
	}
	for i, c := range s.Cores {
		fmt.Fprintf(&b, "  core-%d  tunnel %s (QUIC, TCP)  admin http://%s\n", i+1, c.Addr(), c.AdminAddr())
	}
	for i, d := range s.Demo {
		fmt.Fprintf(&b, "  backend-%d  %s\n", i+1, d.URL())
	}
	if err := f.tryLines(&b, s); err != nil {
		return err
	}
	if f.configOut != "" {
		fmt.Fprintf(&b, "\nThe configurations are in %s; to run one of them by itself:\n  ergo-edge --config %s\n", s.Dir, s.ConfigPath("edge-1"))
	}
	b.WriteString("\nCtrl-C drains and stops. Access log:\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// tryLines writes curl lines that work when pasted.
func (f *upFlags) tryLines(b *strings.Builder, s *stack.Stack) error {
	ca := filepath.Join(s.Dir, "ca.crt")
	auth := ""
	if f.jwtKey != "" {
		auth = ` -H "Authorization: Bearer $TOKEN"`
		b.WriteString("\nEvery request needs a token that your key verifies; with it in TOKEN:\n\n")
	} else {
		b.WriteString("\nTry it:\n\n")
	}
	fmt.Fprintf(b, "  curl -i%s %s/\n", auth, s.URL(0))
	fmt.Fprintf(b, "  curl -i%s --http2 --cacert %s %s/\n", auth, ca, s.TLSURL(0))
	fmt.Fprintf(b, "  curl -i%s --http3 --cacert %s %s/\n", auth, ca, s.TLSURL(0))
	fmt.Fprintf(b, "  go run ./deploy/cmd/ergo get --http3 --cacert %s %s/    # where curl has no HTTP/3\n", ca, s.TLSURL(0))
	if s.Secret == nil {
		return nil
	}
	token, err := s.Token("demo")
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\n/private/ wants a token. Without and with one:\n\n  curl -i %s/private/hello\n", s.URL(0))
	fmt.Fprintf(b, "  curl -i -H 'Authorization: Bearer %s' %s/private/hello\n", token, s.URL(0))
	return nil
}
