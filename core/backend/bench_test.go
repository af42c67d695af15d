package backend_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/exchange"
)

// cannedBackend answers every request with length bytes at next to no cost, so
// that what is measured is the client.
func cannedBackend(b *testing.B, length int) string {
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2027 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: " +
		strconv.Itoa(length) + "\r\n\r\n" + strings.Repeat("x", length))
	return raw(b, func(c net.Conn) {
		buf := make([]byte, 4<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// clientConns is what a Pool used for HTTP/1.1 before package h1: ClientConns,
// with the trace that passing 1xx on takes.
type clientConns struct {
	transport *http.Transport
	addr      string
	free      chan *http.ClientConn
}

func (p *clientConns) RoundTrip(req *http.Request) (*http.Response, error) {
	var c *http.ClientConn
	select {
	case c = <-p.free:
	default:
		var err error
		if c, err = p.transport.NewClientConn(req.Context(), "http", p.addr); err != nil {
			return nil, err
		}
		c.SetStateHook(func(c *http.ClientConn) {
			if c.Err() == nil && c.Available() > 0 {
				p.free <- c
			}
		})
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }}
	return c.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

func (p *clientConns) close() {
	for {
		select {
		case c := <-p.free:
			c.Close()
		default:
			return
		}
	}
}

// BenchmarkRoundTrip compares a Pool with bare http.ClientConns and the bare
// http.Transport, 64 requests at once. "floor" only writes a request and reads
// as many bytes as an answer has: what no client can go below. "canned" backends cost almost nothing,
// "net/http" is a real server in the same process.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(make([]byte, size))
		}))
		defer srv.Close()
		for _, to := range []struct{ name, url string }{{"canned", cannedBackend(b, size)}, {"net/http", srv.URL}} {
			name := strconv.Itoa(size>>10) + "KiB/" + to.name + "/"
			b.Run(name+"floor", func(b *testing.B) { floor(b, to.url, size) })
			b.Run(name+"pool", func(b *testing.B) { roundTrips(b, newBenchPool(b, to.url), to.url, size) })
			b.Run(name+"clientconn", func(b *testing.B) {
				bare := &clientConns{
					transport: &http.Transport{DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10},
					addr:      strings.TrimPrefix(to.url, "http://"), free: make(chan *http.ClientConn, 1024),
				}
				defer bare.close()
				roundTrips(b, bare, to.url, size)
			})
			b.Run(name+"transport", func(b *testing.B) {
				bare := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second}
				defer bare.CloseIdleConnections()
				roundTrips(b, bare, to.url, size)
			})
		}
	}
}

func newBenchPool(b *testing.B, url string) *backend.Pool {
	var cfg backend.Config
	cfg.SetDefaults()
	cfg.Endpoints = []backend.Endpoint{{URL: url}}
	pool, err := backend.New("web", cfg, backend.Deps{Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

func roundTrips(b *testing.B, rt http.RoundTripper, url string, size int) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	defer cpuPerOp(b)()
	b.SetParallelism(32) // times GOMAXPROCS, 64 on the 2 cores of numbers.md
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 32<<10)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for pb.Next() {
			x := &exchange.Exchange{Start: time.Now(), Informational: func(int, http.Header) error { return nil }}
			req, _ := http.NewRequestWithContext(exchange.With(ctx, x), "GET", url+"/", nil)
			req.Header["User-Agent"] = []string{"bench"}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				b.Error(err)
				return
			}
			for err == nil {
				_, err = resp.Body.Read(buf)
			}
			resp.Body.Close()
			if err != io.EOF {
				b.Error(err)
				return
			}
		}
	})
}

// floor is the network's part: one write, and reads of 32 KiB.
func floor(b *testing.B, url string, size int) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	defer cpuPerOp(b)()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf, request := make([]byte, 32<<10), []byte("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: bench\r\n\r\n")
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			for read := 0; read < size; {
				n, err := c.Read(buf)
				if err != nil {
					b.Error(err)
					return
				}
				if read += n; read == n {
					read -= bytes.Index(buf[:n], []byte("\r\n\r\n")) + 4
				}
			}
		}
	})
}

// cpuPerOp reports the processor time of both ends, which on a machine that
// does other things besides says more than the clock.
func cpuPerOp(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
