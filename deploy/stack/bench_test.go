package stack_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/deploy/stack"
)

// benchStack runs one edge and one core in front of handler and returns the URL
// of the edge.
func benchStack(b *testing.B, carrier string, handler http.Handler) string {
	backend := httptest.NewServer(handler)
	b.Cleanup(backend.Close)
	s, err := stack.New(stack.Options{Dir: b.TempDir(), Edges: 1, Cores: 1, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Tunnel: "127.0.0.1:0", Backends: []string{backend.URL}, Carrier: carrier, AccessLog: "off"}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	for !s.Edges[0].Status().Ready {
		select {
		case err := <-done:
			b.Fatal("stack ended: ", err)
		default:
		}
	}
	return s.URL(0)
}

func benchGet(b *testing.B, carrier string, size int) {
	body := strings.Repeat("x", size)
	url := benchStack(b, carrier, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	b.SetParallelism(16)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			if n, err := io.Copy(io.Discard, res.Body); n != int64(size) || err != nil {
				b.Errorf("%d bytes, %v", n, err)
			}
			res.Body.Close()
		}
	})
}

// BenchmarkGet measures the whole path in one process, client and backend
// included.
func BenchmarkGet(b *testing.B) {
	for _, carrier := range []string{"quic", "tcp"} {
		for _, size := range []struct {
			name  string
			bytes int
		}{{"1KiB", 1 << 10}, {"1MiB", 1 << 20}} {
			b.Run(carrier+"/"+size.name, func(b *testing.B) { benchGet(b, carrier, size.bytes) })
		}
	}
}
