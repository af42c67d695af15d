package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// getTimeout bounds one `ergo get`, its body included.
const getTimeout = 5 * time.Minute

// runGet fetches a URL and prints the head and the body of the response, over the
// version of HTTP that was asked for: curl is often built without HTTP/3.
func runGet(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("get", "[flags] URL", stderr)
	http1 := flags.Bool("http1.1", false, "use HTTP/1.1")
	http2 := flags.Bool("http2", false, "use HTTP/2")
	h3 := flags.Bool("http3", false, "use HTTP/3")
	ca := flags.String("cacert", "", "PEM `file` of the CA to trust; default: the system's")
	header := make(http.Header)
	flags.Func("H", "`field` to send, \"Name: value\"; repeat it for more", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if !ok {
			return errors.New(`want "Name: value"`)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		return nil
	})
	if err := parse(flags, args, 1); err != nil {
		return err
	}
	roots, err := trusted(*ca)
	if err != nil {
		return err
	}
	transport, done := transportFor(*http1, *http2, *h3, &tls.Config{RootCAs: roots})
	defer done()
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, flags.Arg(0), nil)
	if err != nil {
		return err
	}
	req.Header = header
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Fprintln(stdout, res.Proto, res.Status)
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		for _, value := range res.Header[name] {
			fmt.Fprintf(stdout, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintln(stdout)
	_, err = io.Copy(stdout, res.Body)
	return err
}

func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}

func transportFor(http1, http2, h3 bool, conf *tls.Config) (http.RoundTripper, func()) {
	if h3 {
		t := &http3.Transport{TLSClientConfig: conf}
		return t, func() { t.Close() }
	}
	t := &http.Transport{TLSClientConfig: conf, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetHTTP2(!http1)
	return t, t.CloseIdleConnections
}
