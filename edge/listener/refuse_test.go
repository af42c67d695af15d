package listener_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/rs/zerolog"
)

// dial opens a connection to e in clear text, or over TLS with the protocols.
func dial(t testing.TB, e *edge, alpn ...string) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	if len(alpn) == 0 {
		c, err = net.Dial("tcp", e.clearAddr())
	} else {
		conf := clientTLS.Clone()
		conf.NextProtos = alpn
		c, err = tls.Dial("tcp", e.tlsAddr(), conf)
	}
	must(t, err)
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// sink takes bodies and answers with their length.
var sink = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	var pe *proxystatus.Error
	if errors.As(err, &pe) {
		w.WriteHeader(pe.HTTPStatus())
		return
	}
	if err != nil {
		w.WriteHeader(599)
		return
	}
	fmt.Fprint(w, n)
})

// statuses sends raw and returns the statuses of all answers until the end of
// the connection.
func statuses(t *testing.T, c net.Conn, raw string) (all []int) {
	t.Helper()
	_, err := io.WriteString(c, raw)
	must(t, err)
	r := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after %v: %v", all, err)
			}
			return all
		}
		io.Copy(io.Discard, res.Body)
		all = append(all, res.StatusCode)
		if res.StatusCode >= 400 && !res.Close {
			t.Errorf("%d without Connection: close", res.StatusCode)
		}
	}
}

func TestHTTP1IsRefusedOnTheWire(t *testing.T) {
	const good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	limits := defaultLimits()
	limits.BodyBytes = 100
	e := start(t, nil, limits, sink)
	for _, tt := range []struct {
		name, raw string
		want      []int
	}{
		{"CL and TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}},
		{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", []int{400}},
		{"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", []int{400}},
		{"two Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		{"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", []int{405}},
		{"long target", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", []int{414}},
		{"long head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", []int{431}},
		{"many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 128) + "\r\n", []int{431}},
		{"long body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", []int{413}},
		{"HTTP/3.0 in clear text", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", []int{505}},
		{"what only net/http sees", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"after good ones", good + good + "GET / HTTP/1.1\r\nHost : a\r\n\r\n", []int{200, 200, 400}},
		{"after a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\x00", []int{200, 400}},
		{"smuggled behind CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost:\r\n b\r\n\r\n", []int{200, 400}},
		{"bad chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", []int{400}},
		{"chunks too long", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + strings.Repeat("x", 101) + "\r\n0\r\n\r\n", []int{413}},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, " tls=", secure), func(t *testing.T) {
				var alpn []string
				if secure {
					alpn = []string{"http/1.1"}
				}
				c := dial(t, e, alpn...)
				got := statuses(t, c, tt.raw)
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("answers %v, want %v", got, tt.want)
				}
				r := e.nextRefusal(t)
				if want := tt.want[len(tt.want)-1]; r.status != want || r.client.Addr.String() != c.LocalAddr().String() {
					t.Errorf("refusal %+v, want %d of %s", r, want, c.LocalAddr())
				}
				if len(e.refused) > 0 {
					t.Errorf("refused twice: %+v", <-e.refused)
				}
			})
		}
	}
}

// A fault that is pipelined behind a request may not disturb it.
func TestPipelinedFaultWaitsForItsTurn(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		select {
		case <-release:
			io.WriteString(w, "whole")
		case <-r.Context().Done():
			t.Error("the request was ended by what came after it")
		}
	}))
	c := dial(t, e)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n")
	must(t, err)
	receive(t, entered, "the request")
	if len(e.refused) > 0 {
		t.Error("the fault was refused before its turn")
	}
	close(release)
	if got := statuses(t, c, ""); fmt.Sprint(got) != "[200 400]" {
		t.Errorf("answers %v", got)
	}
}

// Half a head that is pipelined has its time when its turn comes, and does not
// end the request before it.
func TestPipelinedHeadHasItsOwnTime(t *testing.T) {
	limits := defaultLimits()
	limits.HeaderTimeout = duration(short)
	e := start(t, nil, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(3 * short)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			t.Error("the request was ended by the head behind it")
		}
	}))
	if got := statuses(t, dial(t, e), "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"); fmt.Sprint(got) != "[200 408]" {
		t.Errorf("answers %v", got)
	}
}

func TestHTTP2And3LimitsAreRefused(t *testing.T) {
	limits := defaultLimits()
	limits.BodyBytes = 100
	limits.HeaderCount = 20
	e := start(t, nil, limits, sink)
	overAll(t, func(t *testing.T, p proto) {
		if p.major == 1 {
			t.Skip("the scanner has its own test")
		}
		for _, tt := range []struct {
			name   string
			want   int
			logged bool
			make   func() *http.Request
		}{
			{"fine", 200, false, func() *http.Request { return request(t, "GET", p.url(e)+"/", nil) }},
			{"long target", 414, true, func() *http.Request {
				return request(t, "GET", p.url(e)+"/"+strings.Repeat("a", 9000), nil)
			}},
			{"many fields", 431, true, func() *http.Request {
				r := request(t, "GET", p.url(e)+"/", nil)
				r.Header["X"] = strings.Split(strings.Repeat("y,", 25), ",")
				return r
			}},
			{"long head", 431, true, func() *http.Request {
				r := request(t, "GET", p.url(e)+"/", nil)
				r.Header.Set("X", strings.Repeat("y", 40<<10))
				return r
			}},
			{"long body", 413, true, func() *http.Request {
				return request(t, "POST", p.url(e)+"/", bytes.NewReader(make([]byte, 101)))
			}},
			{"long body of unknown length", 413, false, func() *http.Request {
				return request(t, "POST", p.url(e)+"/", io.LimitReader(zeros{}, 101))
			}},
		} {
			res, err := p.client(t).Do(tt.make())
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			res.Body.Close()
			if res.StatusCode != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, res.StatusCode, tt.want)
			}
			if tt.logged {
				if r := e.nextRefusal(t); r.status != tt.want {
					t.Errorf("%s: logged %+v", tt.name, r)
				}
			}
		}
	})
}

func TestConnectIsRefusedUnlessAllowed(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
		}), func(d *listener.Deps) { d.AllowConnect = allowed })
		want := map[bool]int{false: http.StatusMethodNotAllowed, true: http.StatusTeapot}[allowed]
		t.Run(fmt.Sprint("h1 allowed=", allowed), func(t *testing.T) {
			got := statuses(t, dial(t, e), "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n")
			if fmt.Sprint(got) != fmt.Sprint([]int{want}) {
				t.Errorf("answers %v, want [%d]", got, want)
			}
		})
		for _, p := range protos[2:4] {
			t.Run(fmt.Sprint(p.name, " allowed=", allowed), func(t *testing.T) {
				r := request(t, "CONNECT", p.url(e), http.NoBody)
				r.Host = "a:80"
				res, err := p.client(t).Do(r)
				must(t, err)
				res.Body.Close()
				if res.StatusCode != want {
					t.Errorf("%d, want %d", res.StatusCode, want)
				}
			})
		}
	}
}

func TestH2CUpgradeIsNotPassedOn(t *testing.T) {
	upgrades := make(chan string, 1)
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrades <- r.Header.Get("Upgrade") + r.Header.Get("HTTP2-Settings")
	}))
	for offer, want := range map[string]string{"h2c": "", "websocket, H2C": "", "websocket": "websocket"} {
		c := dial(t, e)
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", offer)
		if got := receive(t, upgrades, "the request"); got != want {
			t.Errorf("offer %q came through as %q", offer, got)
		}
	}
}

func TestClearTextOnATLSPortIsAnswered(t *testing.T) {
	e := start(t, nil, defaultLimits(), sink)
	c, err := net.Dial("tcp", e.tlsAddr())
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if got := statuses(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); fmt.Sprint(got) != "[400]" {
		t.Errorf("answers %v", got)
	}
	if r := e.nextRefusal(t); r.status != 400 || r.client.Scheme != "http" {
		t.Errorf("refusal %+v", r)
	}
}

func TestOnlyConfiguredProtocolsAreSpoken(t *testing.T) {
	scratch := &edge{cert: writeCertificate(t, t.TempDir(), "site", "localhost")}
	certs := []listener.Certificate{scratch.cert}
	for _, tt := range []struct{ clear, tls []string }{
		{[]string{"h1"}, []string{"h1"}}, {[]string{"h2c"}, []string{"h2"}}, {nil, nil}, {[]string{"h1", "h2c"}, []string{"h2", "h3"}},
	} {
		e := start(t, []listener.Config{clearConfig(tt.clear...), tlsConfig(certs, tt.tls...)}, defaultLimits(), sink)
		spoken := fmt.Sprint(tt.clear, tt.tls)
		want := map[string]bool{
			"h1": tt.clear == nil || strings.Contains(spoken, "[h1"), "h2c": strings.Contains(spoken, "h2c"),
			"h1tls": tt.tls == nil || strings.HasSuffix(spoken, "[h1]"),
			"h2":    tt.tls == nil || strings.Contains(spoken, "[h2]") || strings.Contains(spoken, "[h2 "),
		}
		for _, p := range protos[:4] {
			if got := served(t, p, e); got != want[p.name] {
				t.Errorf("%s: %s served: %v, want %v", spoken, p.name, got, want[p.name])
			}
		}
	}
}

// An http.Handler that panics loses its own stream or connection and nothing else.
func TestPanicIsLoggedAndContained(t *testing.T) {
	var log syncBuffer
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("told to")
		}
	}), func(d *listener.Deps) { d.Logger = zerolog.New(&log).Level(zerolog.ErrorLevel) })
	overAll(t, func(t *testing.T, p proto) {
		log.reset()
		if res, err := p.client(t).Get(p.url(e) + "/panic"); err == nil {
			res.Body.Close()
			t.Errorf("answer %s", res.Status)
		}
		eventually(t, "a line in the log", func() bool { return strings.Contains(log.String(), "told to") })
		if !served(t, p, e) {
			t.Error("not served after it")
		}
	})
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	must(t, err)
	return r
}

func duration(d time.Duration) config.Duration { return config.Duration(d) }
