package stack_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
	"github.com/ergoproxy/ergo/deploy/pki"
)

// A backend speaks one protocol. It answers as package demo does, and besides
// with the handlers that a row of the matrix gives it.
type backend struct {
	protocol string // h1, h2 or h2c
	addr     string
	demo     *demo.Handler
	server   *http.Server
	tls      *tls.Config
	serving  sync.WaitGroup

	next     atomic.Int64
	handlers sync.Map // path -> http.HandlerFunc
}

// startBackend starts a backend that shows the certificate of pair if its
// protocol has TLS. An empty addr takes a free port.
func startBackend(t testing.TB, protocol, addr string, pair pki.Pair) *backend {
	t.Helper()
	b := &backend{protocol: protocol, demo: demo.NewHandler(protocol)}
	if protocol == "h2" {
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		b.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	b.listen(t, addr)
	t.Cleanup(b.stop)
	return b
}

func (b *backend) listen(t testing.TB, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b.addr = listener.Addr().String()
	var protocols http.Protocols
	protocols.SetHTTP1(b.protocol == "h1")
	protocols.SetHTTP2(b.protocol == "h2")
	protocols.SetUnencryptedHTTP2(b.protocol == "h2c")
	b.server = &http.Server{Handler: b, Protocols: &protocols, TLSConfig: b.tls.Clone(), MaxHeaderBytes: 1 << 20,
		DisableGeneralOptionsHandler: true,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 1000}, ErrorLog: log.New(io.Discard, "", 0)}
	b.serving.Go(func() {
		if b.tls != nil {
			b.server.ServeTLS(listener, "", "")
		} else {
			b.server.Serve(listener)
		}
	})
}

// stop cuts what is under way.
func (b *backend) stop() {
	b.server.Close()
	b.serving.Wait()
}

// url is how core.yaml names the backend.
func (b *backend) url() string {
	scheme := map[string]string{"h1": "http", "h2": "https", "h2c": "h2c"}[b.protocol]
	return scheme + "://" + b.addr
}

// handle has h answer requests for the path that it returns, and for all below it.
func (b *backend) handle(h http.HandlerFunc) (path string) {
	path = fmt.Sprintf("/row-%d", b.next.Add(1))
	b.handlers.Store(path, h)
	return path
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "*" {
		w.Header().Set("Allow", r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	first := "/" + strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)[0]
	if h, ok := b.handlers.Load(first); ok {
		h.(http.HandlerFunc)(w, r)
		return
	}
	b.demo.ServeHTTP(w, r)
}

// flush sends what was written, the head at least.
func flush(w http.ResponseWriter) { http.NewResponseController(w).Flush() }

// await waits until c is closed or gives a value, or the test is over.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case v = <-c:
	case <-ctx.Done():
		t.Fatalf("waited %s for %s", patience, what)
	}
	return v
}
