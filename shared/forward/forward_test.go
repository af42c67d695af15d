package forward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/forward"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// rules change nothing.
type rules struct{}

func (rules) Prepare(*http.Request, *exchange.Exchange) error { return nil }
func (rules) Answer(*http.Response, *exchange.Exchange)       {}

// transport sends to one backend and passes 1xx heads on, as the tiers' own do.
type transport struct {
	*http.Transport
	address string
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchange.From(r.Context())
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { return x.Informational(code, http.Header(h)) }}))
	u := *r.URL
	u.Scheme, u.Host = "http", t.address
	out.URL = &u
	return t.Transport.RoundTrip(out)
}

// proxy starts a server that forwards over next; before runs ahead of it.
func proxy(t *testing.T, next http.RoundTripper, before ...func(http.ResponseWriter, *http.Request)) *httptest.Server {
	f := &forward.Forwarder{Hop: "edge", Name: "edge-1", Transport: next}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, step := range before {
			step(w, r)
		}
		x := &exchange.Exchange{ID: exchange.NewID(time.Now()), Start: time.Now()}
		f.Serve(w, r.WithContext(exchange.With(r.Context(), x)), rules{})
	}))
	t.Cleanup(s.Close)
	return s
}

func toBackend(t *testing.T, h http.HandlerFunc) http.RoundTripper {
	s := httptest.NewServer(h)
	tr := &http.Transport{}
	t.Cleanup(func() { tr.CloseIdleConnections(); s.Close() })
	return transport{tr, s.Listener.Addr().String()}
}

type fake func(*http.Request) (*http.Response, error)

func (f fake) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestPiecesPassAsTheyCome(t *testing.T) {
	more := make(chan string)
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush() // the head alone, long before the first event
		for piece := range more {
			io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	}))
	res, err := http.Get(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, piece := range []string{"one", "three", "five"} {
		more <- piece
		b := make([]byte, len(piece))
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != piece {
			t.Fatalf("%q, %v", b, err)
		}
	}
	close(more)
	if b, err := io.ReadAll(res.Body); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestInformationalTrailersAndContentType(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header()["Content-Type"] = nil
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "<html>")
		w.Header().Set("X-Sum", "9")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	}), func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Edge", "1") })
	var early http.Header
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		early = http.Header(h)
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "GET", p.URL, nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != "<html>" || early.Get("Link") != "</a>" || early.Get("X-Edge") != "" {
		t.Errorf("%q, %v, 103 with %v", b, err, early)
	}
	if res.Header.Get("X-Edge") != "1" || res.Header["Content-Type"] != nil {
		t.Errorf("header %v", res.Header)
	}
	if res.Trailer.Get("X-Sum") != "9" || res.Trailer.Get("X-Late") != "1" {
		t.Errorf("trailers %v", res.Trailer)
	}
}

func TestErrorBeforeTheHeadIsAnswered(t *testing.T) {
	p := proxy(t, fake(func(*http.Request) (*http.Response, error) {
		return nil, proxystatus.New(proxystatus.ConnectionRefused, "edge", "reach core-1", errors.New("secret detail"))
	}))
	res, body := get(t, p.URL)
	if res.StatusCode != 502 || !strings.Contains(res.Header.Get("Proxy-Status"), "connection_refused") || strings.Contains(body, "secret") {
		t.Errorf("%+v %q", res, body)
	}
}

func TestErrorAfterTheHeadCutsTheAnswer(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	res, err := http.Get(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("a cut answer looks complete: %q", b)
	}
}

func TestStatusThatIsNoneIsAnError(t *testing.T) {
	p := proxy(t, fake(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 99, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}))
	if res, _ := get(t, p.URL); res.StatusCode != 502 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestClientThatLeavesEndsTheRequest(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	p := proxy(t, fake(func(r *http.Request) (*http.Response, error) {
		close(begun)
		<-r.Context().Done()
		ended <- r.Context().Err()
		return nil, r.Context().Err()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", p.URL, nil)
	go func() { <-begun; cancel() }()
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		b := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			w.Write(b)
			w.(http.Flusher).Flush()
		}
	}))
	in, out := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", p.URL, in)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for i := range 5 {
		piece := fmt.Sprintf("%04d", i)
		io.WriteString(out, piece)
		b := make([]byte, 4)
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != piece {
			t.Fatalf("%q, %v", b, err)
		}
	}
	out.Close()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Error(err)
	}
}

// The next hop has answered, and the client that waits for the answer sends no
// more of its body: neither may wait for the other.
func TestEarlyAnswerToAPausedUpload(t *testing.T) {
	reading := make(chan struct{})
	read := make(chan error, 1)
	p := proxy(t, fake(func(r *http.Request) (*http.Response, error) {
		go func() {
			b := make([]byte, 5)
			io.ReadFull(r.Body, b)
			close(reading)
			_, err := r.Body.Read(b)
			read <- err
			r.Body.Close()
		}()
		<-reading
		return &http.Response{StatusCode: 413, ContentLength: -1, Header: http.Header{}, Request: r,
			Body: &both{strings.NewReader("too large"), r.Body}}, nil
	}))
	c, err := net.Dial("tcp", p.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "too large" || res.StatusCode != 413 || !res.Close {
		t.Errorf("%d %q, %v, Connection: close is %v", res.StatusCode, b, err, res.Close)
	}
	if err := <-read; err == nil {
		t.Error("a read after the handler got bytes")
	}
}

// both closes the request's body with the response's, as corepool does.
type both struct {
	io.Reader
	request io.Closer
}

func (b *both) Close() error { return b.request.Close() }

// duplex is what is left of a connection after the head of a 101.
type duplex struct {
	*net.TCPConn
	in *bufio.Reader
}

func (d duplex) Read(p []byte) (int, error) { return d.in.Read(p) }

func upgradeBackend(t *testing.T, protocol string) http.RoundTripper {
	next := toBackend(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		rw.Flush()
		b := make([]byte, 4)
		for {
			if _, err := io.ReadFull(rw, b); err != nil {
				io.WriteString(conn, "bye") // the other direction is still open
				return
			}
			conn.Write(b)
		}
	})
	// The transport of net/http cannot end one direction alone.
	return fake(func(r *http.Request) (*http.Response, error) {
		c, err := net.Dial("tcp", next.(transport).address)
		if err != nil {
			return nil, err
		}
		if err := r.Write(c); err != nil {
			return nil, err
		}
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, r)
		if err == nil {
			res.Body = duplex{c.(*net.TCPConn), in}
		}
		return res, err
	})
}

func dialUpgrade(t *testing.T, p *httptest.Server, head string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", p.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, head)
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, in, res
}

const upgradeHead = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

func TestUpgradeCarriesBothDirectionsAndTheirEnds(t *testing.T) {
	p := proxy(t, upgradeBackend(t, "echo"))
	c, in, res := dialUpgrade(t, p, upgradeHead+"more")
	if res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%+v", res)
	}
	io.WriteString(c, "ping")
	b := make([]byte, 8)
	if _, err := io.ReadFull(in, b); err != nil || string(b) != "moreping" {
		t.Fatalf("%q, %v", b, err)
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "bye" {
		t.Errorf("after the end of one direction: %q, %v", rest, err)
	}
}

func TestUpgradeThatNobodyAskedForIsRefused(t *testing.T) {
	for name, head := range map[string]string{
		"no upgrade":       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"another protocol": upgradeHead,
	} {
		p := proxy(t, upgradeBackend(t, "other"))
		if _, _, res := dialUpgrade(t, p, head); res.StatusCode != 502 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
}

func TestUpgradeWithABodyIsAnOrdinaryRequest(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %q", b, r.Header.Get("Upgrade"))
	}))
	_, _, res := dialUpgrade(t, p, "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello")
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != `hello ""` {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHeadHasTheLengthAndNoBody(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99") }))
	res, err := http.Head(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ContentLength != 99 {
		t.Errorf("Content-Length %d", res.ContentLength)
	}
}

// A connection that is used again must not suffer from how the last exchange ended.
func TestConnectionIsUsedAgainAfterAnUpload(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	var mu sync.Mutex
	reused := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		if i.Reused {
			reused++
		}
	}})
	for range 20 {
		req, _ := http.NewRequestWithContext(ctx, "POST", p.URL, strings.NewReader("hello"))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "hello" {
			t.Fatalf("%q, %v", b, err)
		}
		res.Body.Close()
	}
	if reused != 19 {
		t.Errorf("%d of 20 requests went over a connection that was there", reused)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A client that goes on sending must find the answer, not a connection that was
// reset under it.
func TestEarlyAnswerToAnEndlessUpload(t *testing.T) {
	p := proxy(t, toBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 100))
		w.WriteHeader(401)
		io.WriteString(w, "no")
	}))
	for range 5 {
		res, err := http.Post(p.URL, "text/plain", endless{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(b) != "no" || res.StatusCode != 401 {
			t.Errorf("%d %q, %v", res.StatusCode, b, err)
		}
	}
}
