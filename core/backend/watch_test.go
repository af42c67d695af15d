package backend_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ergoproxy/ergo/core/backend"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

var discardLog = log.New(io.Discard, "", 0)

// dnsStub answers every question by its answer function, over UDP.
type dnsStub struct {
	mu     sync.Mutex
	answer func(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode)
	silent bool
	asking []net.Conn
}

func (s *dnsStub) set(f func(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// start returns a resolver that asks the stub.
func (s *dnsStub) start(t *testing.T) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := s.reply(buf[:n]); reply != nil {
				conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.asking {
			c.Close() // the resolver waits 5s on it, whatever its context says
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		if err == nil {
			s.mu.Lock()
			s.asking = append(s.asking, c)
			s.mu.Unlock()
		}
		return c, err
	}}
}

func (s *dnsStub) reply(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if s.silent || m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	bodies, code := s.answer(m.Questions[0])
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: code}, Questions: m.Questions}
	for _, body := range bodies {
		h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: m.Questions[0].Type, Class: dnsmessage.ClassINET, TTL: 1}
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	packed, _ := reply.Pack()
	return packed
}

// nobody answers that there is no such name.
func nobody(dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
	return nil, dnsmessage.RCodeNameError
}

// addresses answers with A records.
func addresses(addrs ...[4]byte) func(dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
	return func(q dnsmessage.Question) (bodies []dnsmessage.ResourceBody, _ dnsmessage.RCode) {
		if q.Type == dnsmessage.TypeA {
			for _, a := range addrs {
				bodies = append(bodies, &dnsmessage.AResource{A: a})
			}
		}
		return bodies, dnsmessage.RCodeSuccess
	}
}

func backendsOf(p *backend.Pool) string {
	var list []string
	for _, b := range p.Status().Backends {
		list = append(list, b.Address)
	}
	return strings.Join(list, " ")
}

func portOf(t *testing.T, rawURL string) int {
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func withDNS(d backend.DNS) func(*backend.Config) {
	return func(c *backend.Config) {
		c.DNS = new(backend.DNS)
		c.DNS.SetDefaults()
		c.DNS.Name, c.DNS.Port, c.DNS.Refresh = "app.test", d.Port, config.Duration(10*time.Millisecond)
		if d.Type != "" {
			c.DNS.Type = d.Type
		}
		if d.MaxEndpoints != 0 {
			c.DNS.MaxEndpoints = d.MaxEndpoints
		}
	}
}

func TestPoolFollowsTheDNS(t *testing.T) {
	port := portOf(t, serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }).URL)
	suffix := ":" + strconv.Itoa(port)
	stub := &dnsStub{}
	stub.set(addresses([4]byte{127, 0, 0, 1}))
	p := newPoolWith(t, stub.start(t), withDNS(backend.DNS{Port: port, MaxEndpoints: 2}))
	early, _ := request(t, "GET", "/", "")
	if _, err := p.RoundTrip(early); typeOf(err) != proxystatus.DestinationUnavailable {
		t.Errorf("before the first answer: %v", err)
	}
	run(t, p)
	eventually(t, "first answer", func() bool { return backendsOf(p) == "127.0.0.1"+suffix })
	req, _ := request(t, "GET", "/", "")
	if _, body, err := do(t, p, req); body != "ok" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}
	stub.set(addresses([4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1}))
	eventually(t, "second address", func() bool { return backendsOf(p) == "127.0.0.1"+suffix+" 127.0.0.2"+suffix })
	if p.Status().Backends[0].Requests != 1 {
		t.Error("the endpoint that stayed lost its record")
	}
	stub.set(addresses([4]byte{127, 0, 0, 3}, [4]byte{127, 0, 0, 4}, [4]byte{127, 0, 0, 5}))
	eventually(t, "bounded answer", func() bool { return backendsOf(p) == "127.0.0.3"+suffix+" 127.0.0.4"+suffix })
	stub.set(nobody)
	asked := make(chan struct{}, 100)
	stub.set(func(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, dnsmessage.RCodeServerFailure
	})
	for range 4 {
		<-asked
	}
	if got := backendsOf(p); got != "127.0.0.3"+suffix+" 127.0.0.4"+suffix {
		t.Errorf("after a failing look-up: %s", got)
	}
}

func TestPoolUsesTheBestSRVRecords(t *testing.T) {
	stub := &dnsStub{}
	stub.set(func(q dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
		if q.Type != dnsmessage.TypeSRV {
			return nil, dnsmessage.RCodeNameError
		}
		srv := func(priority, port uint16, target string) dnsmessage.ResourceBody {
			return &dnsmessage.SRVResource{Priority: priority, Port: port, Target: dnsmessage.MustNewName(target)}
		}
		return []dnsmessage.ResourceBody{srv(2, 3, "c.test."), srv(1, 1, "a.test."), srv(1, 2, "b.test.")}, dnsmessage.RCodeSuccess
	})
	p := newPoolWith(t, stub.start(t), withDNS(backend.DNS{Type: backend.DNSTypeSRV}))
	run(t, p)
	eventually(t, "answer", func() bool { return backendsOf(p) == "a.test:1 b.test:2" })
}

func TestNamesThatDoNotResolve(t *testing.T) {
	stub := &dnsStub{}
	stub.set(nobody)
	r := stub.start(t)
	p := newPoolWith(t, r, retriesOff, "http://gone.test:80")
	req, _ := request(t, "GET", "/", "")
	if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.DNSError {
		t.Errorf("no such name: %v", err)
	}
	stub.mu.Lock()
	stub.silent = true
	stub.mu.Unlock()
	p = newPoolWith(t, r, func(c *backend.Config) {
		retriesOff(c)
		c.Timeouts.Connect = config.Duration(50 * time.Millisecond)
	}, "http://slow.test:80")
	req, _ = request(t, "GET", "/", "")
	_, err := p.RoundTrip(req)
	var e *proxystatus.Error
	if !errors.As(err, &e) || e.Type != proxystatus.DNSTimeout {
		t.Errorf("no answer: %v", err)
	}
}

func TestProbesTakeBackendsDownAndUp(t *testing.T) {
	var sick atomic.Bool
	var host, agent atomic.Value
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			host.Store(r.Host)
			agent.Store(r.UserAgent())
			if r.URL.RawQuery != "deep=1" {
				w.WriteHeader(400)
			}
		}
		if sick.Load() {
			w.WriteHeader(500)
		}
	})
	p := newPool(t, func(c *backend.Config) {
		c.Health.WhenAllDown = "fail"
		a := &c.Health.Active
		a.Path, a.Host, a.Interval = "/health?deep=1", "probe.test", config.Duration(5*time.Millisecond)
	}, srv.URL)
	run(t, p)
	state := func() string { return p.Status().Backends[0].State }
	eventually(t, "a probe", func() bool { return host.Load() != nil })
	if host.Load() != "probe.test" || agent.Load() != "ergo-probe" || state() != "up" {
		t.Errorf("host %v, agent %v, state %v", host.Load(), agent.Load(), state())
	}
	sick.Store(true)
	eventually(t, "down", func() bool { return state() == "down" })
	req, _ := request(t, "GET", "/", "")
	if _, err := p.RoundTrip(req); typeOf(err) != proxystatus.DestinationUnavailable {
		t.Errorf("request to a pool that is down: %v", err)
	}
	if up, all := p.Up(); up != 0 || all != 1 {
		t.Errorf("%d of %d up", up, all)
	}
	sick.Store(false)
	eventually(t, "up", func() bool { return state() == "up" })
}
