package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/quic-go/quic-go"
)

// served reports whether one request over a fresh connection is answered in p.
func served(t *testing.T, p proto, e *edge) bool {
	t.Helper()
	rt := p.make()
	defer closeTransport(rt)
	res, err := (&http.Client{Transport: rt, Timeout: patience}).Get(p.url(e))
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == 200 && res.ProtoMajor == p.major
}

func TestConnectionLimits(t *testing.T) {
	for name, set := range map[string]func(*listener.Limits){
		"in all":      func(l *listener.Limits) { l.Connections = 2 },
		"per address": func(l *listener.Limits) { l.ConnectionsPerAddress = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			limits := defaultLimits()
			set(&limits)
			e := start(t, nil, limits, sink)
			overAll(t, func(t *testing.T, p proto) {
				// Connections are accepted in their order: no former one comes after this.
				eventually(t, "service", func() bool { return served(t, p, e) })
				eventually(t, "the end of former connections", func() bool { open, _ := e.Connections(); return open == 0 })
				a, b := dial(t, e), dial(t, e)
				eventually(t, "two connections", func() bool { open, _ := e.Connections(); return open == 2 })
				_, before := e.Connections()
				if served(t, p, e) {
					t.Error("a third connection was served")
				}
				if _, after := e.Connections(); after == before {
					t.Error("the refusal was not counted")
				}
				a.Close()
				b.Close()
				eventually(t, "service after the end of the two", func() bool { return served(t, p, e) })
			})
		})
	}
}

func proxyConfig(e *edge, trusted string) []listener.Config {
	configs := e.standard()
	for i := range configs {
		configs[i].ProxyProtocol = &listener.ProxyProtocol{Trusted: []string{trusted}}
		configs[i].ProxyProtocol.SetDefaults()
		configs[i].ProxyProtocol.HeaderTimeout = duration(short)
	}
	return configs
}

const (
	proxyV1 = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb"
	proxyUp = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // LOCAL: a health check
)

func TestProxyProtocol(t *testing.T) {
	clients := make(chan exchange.Client, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr != listener.ClientOf(r).Addr.String() {
			t.Errorf("r.RemoteAddr %s differs from ClientOf %s", r.RemoteAddr, listener.ClientOf(r).Addr)
		}
		clients <- listener.ClientOf(r)
	})
	scratch := &edge{cert: writeCertificate(t, t.TempDir(), "site", "localhost")}
	trusting := start(t, proxyConfig(scratch, "127.0.0.0/8"), defaultLimits(), handler)
	wary := start(t, proxyConfig(scratch, "10.0.0.1"), defaultLimits(), handler)
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct {
		name, prefix string
		e            *edge
		want         string // the client's address, "self", or "" for refused
	}{
		{"v1", proxyV1, trusting, "192.0.2.7:4711"},
		{"v2", proxyV2, trusting, "192.0.2.7:4711"},
		{"v2 LOCAL", proxyUp, trusting, "self"},
		{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", trusting, "self"},
		{"header missing", "", trusting, ""},
		{"header never ends", "PROXY TCP4 192.0.2.7", trusting, ""},
		{"v1 from an untrusted address", proxyV1, wary, ""},
		{"v2 from an untrusted address", proxyV2, wary, ""},
		{"none from an untrusted address", "", wary, "self"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tt.e)
			io.WriteString(c, tt.prefix+get)
			answer, _ := io.ReadAll(c)
			if ok := strings.HasPrefix(string(answer), "HTTP/1.1 200 "); ok != (tt.want != "") {
				t.Fatalf("answer %q", answer)
			}
			if tt.want == "" {
				return
			}
			want := tt.want
			if want == "self" {
				want = c.LocalAddr().String()
			}
			if got := receive(t, clients, "the request"); got.Addr.String() != want {
				t.Errorf("client %s, want %s", got.Addr, want)
			}
		})
	}
	t.Run("before TLS", func(t *testing.T) {
		tr := protos[2].make().(*http.Transport)
		defer tr.CloseIdleConnections()
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				_, err = io.WriteString(c, proxyV2)
			}
			return c, err
		}
		res, err := (&http.Client{Transport: tr}).Get(tlsURL(trusting))
		must(t, err)
		res.Body.Close()
		if got := receive(t, clients, "the request"); got.Addr.String() != "192.0.2.7:4711" || got.Proto != "HTTP/2.0" {
			t.Errorf("client %+v", got)
		}
	})
}

func TestTakenPortIsNamed(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	cert := writeCertificate(t, t.TempDir(), "site", "localhost")
	for network, taken := range map[string]net.Addr{"tcp": tcp.Addr(), "udp": udp.LocalAddr()} {
		free := clearConfig()
		bad := tlsConfig([]listener.Certificate{cert}, "h1", "h3")
		bad.Address = taken.String()
		s, err := listener.New([]listener.Config{free, bad}, defaultLimits(), sink, listener.Deps{})
		must(t, err)
		err = s.Listen()
		want := fmt.Sprintf("listen %s (%s): address already in use; another process holds the port", taken, network)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if addrs := s.Addrs(); len(addrs) != 0 {
			t.Errorf("%s: %v stayed open", network, addrs)
		}
	}
}

func TestHTTP2FloodsEndTheConnection(t *testing.T) {
	limits := defaultLimits()
	limits.ControlFrames = 20
	e := start(t, nil, limits, sink)
	for name, next := range map[string]func(i uint32) string{
		"rapid reset": func(i uint32) string {
			return frame(1, 5, 2*i+1, "\x82\x87\x84\x41\x01a") + frame(3, 0, 2*i+1, "\x00\x00\x00\x08")
		},
		"SETTINGS": func(uint32) string { return frame(4, 0, 0, "") },
		"PING":     func(uint32) string { return frame(6, 0, 0, "12345678") },
		"PRIORITY": func(i uint32) string { return frame(2, 0, 2*i+1, "\x00\x00\x00\x00\x01") },
		"empty CONTINUATION": func(i uint32) string {
			return map[bool]string{true: frame(1, 0, 1, "\x82")}[i == 0] + frame(9, 0, 1, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, e, "h2")
			flood := h2Preface + frame(4, 0, 0, "")
			for i := range uint32(400) {
				flood += next(i)
			}
			io.WriteString(c, flood) // may fail: the edge may be quicker
			ends(t, c)
			if name == "empty CONTINUATION" && len(e.refused) == 0 {
				return // net/http was quicker
			}
			if r := e.nextRefusal(t); r.status != http.StatusTooManyRequests {
				t.Errorf("refusal %+v", r)
			}
		})
	}
}

func TestHTTP2WithinTheBudgetIsServed(t *testing.T) {
	limits := defaultLimits()
	limits.ControlFrames = 20
	e := start(t, nil, limits, sink)
	c := dial(t, e, "h2")
	many := h2Preface + frame(4, 0, 0, "")
	for range 150 {
		many += frame(6, 0, 0, "12345678")
	}
	_, err := io.WriteString(c, many+frame(1, 5, 1, "\x82\x87\x84\x41\x01a"))
	must(t, err)
	for kind := byte(0); kind != 1; { // HEADERS: the answer
		var h [9]byte
		_, err := io.ReadFull(c, h[:])
		must(t, err)
		_, err = io.CopyN(io.Discard, c, int64(h[1])<<8|int64(h[2]))
		must(t, err)
		kind = h[3]
	}
}

// A client of HTTP/3 that resets its requests may not start more handlers at
// once than it may have requests.
func TestHTTP3ResetsDoNotMultiplyHandlers(t *testing.T) {
	limits := defaultLimits()
	limits.ConcurrentStreams = 3
	entered, release := make(chan struct{}, 100), make(chan struct{})
	e := start(t, nil, limits, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	conf := clientTLS.Clone()
	conf.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(t.Context(), e.tlsAddr(), conf, nil)
	must(t, err)
	defer conn.CloseWithError(0, "")
	head := "\x01\x08\x00\x00\xd4\xd7\xc1\x50\x01a" // POST https / a: a body may follow
	for range 3 {
		str, err := conn.OpenStreamSync(t.Context())
		must(t, err)
		io.WriteString(str, head)
		receive(t, entered, "a handler")
		str.CancelWrite(0x10c)
		str.CancelRead(0x10c)
	}
	// The three streams are over for the client, but their handlers are not.
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if str, err := conn.OpenStreamSync(ctx); err == nil {
		io.WriteString(str, head)
	}
	select {
	case <-entered:
		t.Error("a fourth handler runs")
	case <-ctx.Done():
	}
	close(release)
	str, err := conn.OpenStreamSync(t.Context())
	must(t, err)
	io.WriteString(str, head)
	receive(t, entered, "a handler after the end of the others")
}
