package listener_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/exchange"
)

func TestClientOfDescribesTheConnection(t *testing.T) {
	clients := make(chan exchange.Client, 1)
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clients <- listener.ClientOf(r)
		if secure := r.TLS != nil; secure != (listener.ClientOf(r).Scheme == "https") {
			t.Errorf("r.TLS set: %v, scheme %q", secure, listener.ClientOf(r).Scheme)
		}
	}))
	overAll(t, func(t *testing.T, p proto) {
		res, err := p.client(t).Get(p.url(e))
		must(t, err)
		res.Body.Close()
		c := <-clients
		if want := fmt.Sprintf("HTTP/%d.", p.major); !strings.HasPrefix(c.Proto, want) {
			t.Errorf("proto %q, want %s", c.Proto, want)
		}
		if c.Addr.Addr().String() != "127.0.0.1" || c.Addr.Port() == 0 || c.Peer != c.Addr {
			t.Errorf("addresses %v and %v", c.Addr, c.Peer)
		}
		secure := strings.HasPrefix(p.url(e), "https")
		if want := map[bool]string{false: "http", true: "https"}[secure]; c.Scheme != want {
			t.Errorf("scheme %q, want %q", c.Scheme, want)
		}
		if secure != (c.TLSVersion != 0) || secure != (c.TLSCipher != 0) || c.EarlyData {
			t.Errorf("TLS version %x, cipher %x, early %v", c.TLSVersion, c.TLSCipher, c.EarlyData)
		}
	})
}

func TestAltSvcIsAnnouncedOverTLSOnly(t *testing.T) {
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	port := e.Addrs()[2].String()[strings.LastIndexByte(e.Addrs()[2].String(), ':'):]
	overAll(t, func(t *testing.T, p proto) {
		res, err := p.client(t).Get(p.url(e))
		must(t, err)
		res.Body.Close()
		want := ""
		if p.name == "h1tls" || p.name == "h2" {
			want = `h3="` + port + `"; ma=86400`
		}
		if got := res.Header.Get("Alt-Svc"); got != want {
			t.Errorf("Alt-Svc %q, want %q", got, want)
		}
	})
}

// What a proxy needs of its server side, on every protocol.
func TestBothWaysAtOnce(t *testing.T) {
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			if err := rc.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(200)
		if err := rc.Flush(); err != nil {
			t.Error(err)
		}
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			rc.Flush()
		}
	}))
	overAll(t, func(t *testing.T, p proto) {
		pr, pw := io.Pipe()
		defer pw.Close()
		req, err := http.NewRequest("POST", p.url(e), pr)
		must(t, err)
		res, err := p.client(t).Do(req)
		must(t, err)
		defer res.Body.Close()
		answers := bufio.NewReader(res.Body)
		for i := range 3 {
			fmt.Fprintf(pw, "%d\n", i)
			line, err := answers.ReadString('\n')
			must(t, err)
			if want := fmt.Sprintf("echo %d\n", i); line != want {
				t.Fatalf("got %q, want %q", line, want)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	})
}

func TestEarlyHintsAndTrailers(t *testing.T) {
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "up" || r.Trailer.Get("X-Sum") != "7" {
			t.Errorf("request body %q, trailers %v, error %v", body, r.Trailer, err)
		}
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-End")
		w.WriteHeader(200)
		io.WriteString(w, "down")
		w.Header().Set("X-End", "9")
	}))
	overAll(t, func(t *testing.T, p proto) {
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, h.Get("Link")))
				return nil
			},
		})
		req, err := http.NewRequestWithContext(ctx, "POST", p.url(e), io.NopCloser(strings.NewReader("up")))
		must(t, err)
		req.Trailer = http.Header{"X-Sum": {"7"}}
		res, err := p.client(t).Do(req)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != "down" || res.Trailer.Get("X-End") != "9" {
			t.Errorf("body %q, trailers %v, error %v", body, res.Trailer, err)
		}
		if len(hints) != 1 || !strings.HasPrefix(hints[0], "103") {
			t.Errorf("hints %q, want one 103", hints)
		}
	})
}

func TestContinueIsSentWhenTheBodyIsRead(t *testing.T) {
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			io.Copy(io.Discard, r.Body)
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	overAll(t, func(t *testing.T, p proto) {
		if p.major == 3 {
			t.Skip("quic-go's client does not wait for 100 Continue")
		}
		for path, want := range map[string]bool{"/read": true, "/refuse": false} {
			got := false
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { got = true }})
			req, err := http.NewRequestWithContext(ctx, "POST", p.url(e)+path, strings.NewReader("body"))
			must(t, err)
			req.Header.Set("Expect", "100-continue")
			c := p.client(t)
			if tr, ok := c.Transport.(*http.Transport); ok {
				tr.ExpectContinueTimeout = patience
			}
			res, err := c.Do(req)
			must(t, err)
			res.Body.Close()
			if got != want {
				t.Errorf("%s: 100 Continue %v, want %v", path, got, want)
			}
		}
	})
}

func TestHijackGetsThePlainConnection(t *testing.T) {
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, rw)
	}))
	overAll(t, func(t *testing.T, p proto) {
		if p.major != 1 {
			t.Skip("HTTP/1 only")
		}
		req, err := http.NewRequest("GET", p.url(e), nil)
		must(t, err)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		client := p.client(t)
		client.Timeout = 0 // it would hide that the body can be written to
		res, err := client.Do(req)
		must(t, err)
		conn := res.Body.(io.ReadWriteCloser)
		defer conn.Close()
		raw := "\x00\x01\r\n bare \n things: no HTTP at all \r\r\n"
		io.WriteString(conn, raw)
		got := make([]byte, len(raw))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != raw {
			t.Errorf("echo %q, %v", got, err)
		}
	})
}

func TestDrainWaitsForWhatIsAtWork(t *testing.T) {
	overAll(t, func(t *testing.T, p proto) {
		entered, release := make(chan struct{}), make(chan struct{})
		e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			io.WriteString(w, "done")
		}))
		type outcome struct {
			body string
			err  error
		}
		answers := make(chan outcome, 1)
		client := p.client(t)
		go func() {
			res, err := client.Get(p.url(e))
			if err != nil {
				answers <- outcome{err: err}
				return
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			answers <- outcome{string(b), err}
		}()
		receive(t, entered, "the request")
		drained := make(chan error, 1)
		go func() { drained <- e.Drain(context.Background()) }()
		eventually(t, "refusal of new connections", func() bool {
			res, err := p.client(t).Get(p.url(e) + "/late")
			if err == nil {
				res.Body.Close()
			}
			return err != nil
		})
		close(release)
		if got := receive(t, answers, "the answer"); got.err != nil || got.body != "done" {
			t.Errorf("answer %+v", got)
		}
		if err := receive(t, drained, "the end of Drain"); err != nil {
			t.Errorf("Drain: %v", err)
		}
		err := receive(t, e.ran, "the end of Run")
		e.ran <- err
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestDrainClosesWhatOutlivesTheGrace(t *testing.T) {
	overAll(t, func(t *testing.T, p proto) {
		entered, ended := make(chan struct{}), make(chan struct{})
		e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			close(ended)
		}))
		client := p.client(t)
		go func() {
			if res, err := client.Get(p.url(e)); err == nil {
				res.Body.Close()
			}
		}()
		receive(t, entered, "the request")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errStop)
		if err := e.Drain(ctx); err == nil || !strings.Contains(err.Error(), errStop.Error()) {
			t.Errorf("Drain: %v, want %v", err, errStop)
		}
		receive(t, ended, "the end of the request's context")
	})
}
