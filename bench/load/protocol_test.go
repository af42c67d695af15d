package load_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/deploy/demo"
)

// backends starts the demo backend in clear, over TLS and over QUIC, and
// returns the addresses and a TLS config that trusts them.
func backends(t *testing.T) (map[load.Protocol]string, *tls.Config) {
	t.Helper()
	lender := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(lender.Close)
	ctx, stop := context.WithCancel(context.Background())
	address := make(map[load.Protocol]string)
	for _, secure := range []bool{false, true} {
		c := demo.Config{}
		if secure {
			c.TLS = lender.TLS
		}
		server, err := demo.Listen(c)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		t.Cleanup(func() { <-ended })
		if secure {
			address[load.H1TLS], address[load.H2] = server.Addr(), server.Addr()
		} else {
			address[load.H1], address[load.H2C] = server.Addr(), server.Addr()
		}
	}
	t.Cleanup(stop) // runs before the waits above
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h3 := &http3.Server{Handler: demo.NewHandler("h3"), TLSConfig: http3.ConfigureTLSConfig(lender.TLS.Clone())}
	ended := make(chan error, 1)
	go func() { ended <- h3.Serve(packets) }()
	t.Cleanup(func() { h3.Close(); <-ended; packets.Close() })
	address[load.H3] = packets.LocalAddr().String()
	return address, lender.Client().Transport.(*http.Transport).TLSClientConfig
}

func TestEveryProtocol(t *testing.T) {
	address, trust := backends(t)
	streams := map[load.Protocol]int{load.H2C: 3, load.H2: 3, load.H3: 3}
	for _, protocol := range []load.Protocol{load.H1, load.H1TLS, load.H2C, load.H2, load.H3} {
		for _, row := range []struct {
			name, method, path string
			body               []byte
			status             int
			length             int64
		}{
			{"get", "GET", "/bytes/100000?max-age=1", nil, 200, 100_000},
			{"chunked", "GET", "/stream?chunks=3&size=1000", nil, 200, 3000},
			{"head", "HEAD", "/bytes/100000", nil, 200, 0},
			{"post", "POST", "/echo", make([]byte, 150_000), 200, 150_000},
			{"empty post", "POST", "/echo", nil, 200, 0},
			{"status", "GET", "/status/404", nil, 404, load.AnyLength},
		} {
			t.Run(string(protocol)+"/"+row.name, func(t *testing.T) {
				target := load.Target{
					Protocol: protocol, Address: address[protocol], Authority: "example.com", TLS: trust,
					Method: row.method, Path: row.path, Body: row.body, WantStatus: row.status, WantLength: row.length,
				}
				run := load.Closed{Connections: 2, Streams: streams[protocol], Duration: 50 * time.Millisecond}
				closed, err := load.RunClosed(t.Context(), target, run)
				if err != nil {
					t.Fatal(err)
				}
				if closed.Answered < 2 || closed.Failed() != 0 || closed.Statuses[row.status] != closed.Answered {
					t.Errorf("closed loop: answered %d, failures %v, statuses %v", closed.Answered, closed.Failures, closed.Statuses)
				}
				if row.length >= 0 && closed.Bytes != row.length*closed.Answered {
					t.Errorf("closed loop: %d bytes in %d answers", closed.Bytes, closed.Answered)
				}
				open, err := load.RunOpen(t.Context(), target, load.Open{Closed: run, Rate: 200, Queue: 100})
				if err != nil {
					t.Fatal(err)
				}
				if open.Answered != 10 || open.Overflow != 0 || open.Failed() != 0 {
					t.Errorf("open loop: answered %d, overflow %d, failures %v; want 10", open.Answered, open.Overflow, open.Failures)
				}
			})
		}
	}
}

func TestProtocolIsTheOneAskedFor(t *testing.T) {
	address, trust := backends(t)
	for protocol, want := range map[load.Protocol]string{
		load.H1: "HTTP/1.1", load.H1TLS: "HTTP/1.1", load.H2C: "HTTP/2.0", load.H2: "HTTP/2.0",
	} {
		seen := make(chan string, 1000)
		spy := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case seen <- r.Proto:
			default:
			}
		})
		target := load.Target{Protocol: protocol, Address: address[protocol], Authority: "example.com", TLS: trust}
		if protocol == load.H1 || protocol == load.H2C {
			server := httptest.NewUnstartedServer(spy)
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			defer server.Close()
			target.Address = server.Listener.Addr().String()
		} else {
			server := httptest.NewUnstartedServer(spy)
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			target.Address = server.Listener.Addr().String()
		}
		if _, err := load.RunClosed(t.Context(), target, load.Closed{Connections: 1, Duration: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != want {
			t.Errorf("%s: the server saw %s", protocol, got)
		}
	}
}
