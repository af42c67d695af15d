package listener_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// short is a timeout that a test waits for.
const short = 150 * time.Millisecond

func TestSlowHeadOnHTTP1(t *testing.T) {
	limits := defaultLimits()
	limits.HeaderTimeout = duration(short)
	e := start(t, nil, limits, sink)
	for name, alpn := range map[string][]string{"clear": nil, "tls": {"http/1.1"}} {
		t.Run(name, func(t *testing.T) {
			if got := statuses(t, dial(t, e, alpn...), "GET / HTTP/1.1\r\nHost: a\r\nX: "); len(got) != 1 || got[0] != 408 {
				t.Errorf("answers %v, want 408", got)
			}
			if r := e.nextRefusal(t); r.status != 408 {
				t.Errorf("refusal %+v", r)
			}
		})
		t.Run(name+" after a request", func(t *testing.T) {
			if got := statuses(t, dial(t, e, alpn...), "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"); len(got) != 2 || got[1] != 408 {
				t.Errorf("answers %v, want 200 and 408", got)
			}
			e.nextRefusal(t)
		})
		t.Run(name+" silent", func(t *testing.T) {
			if got := statuses(t, dial(t, e, alpn...), ""); len(got) != 0 || len(e.refused) > 0 {
				t.Errorf("answers %v, %d refusals; want nothing but the end", got, len(e.refused))
			}
		})
	}
}

const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame returns an HTTP/2 frame.
func frame(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return string(b) + payload
}

// ends reads c until it ends and fails the test if it does not.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection was not closed")
	}
}

func TestSlowHeadOnHTTP2(t *testing.T) {
	limits := defaultLimits()
	limits.HeaderTimeout = duration(short)
	e := start(t, nil, limits, sink)
	settings := frame(4, 0, 0, "")
	for name, raw := range map[string]string{
		"half a preface":    h2Preface[:10],
		"half a header":     h2Preface + settings + frame(1, 4, 1, "\x82")[:5],
		"half a payload":    h2Preface + settings + frame(1, 4, 1, "\x82\x84")[:10],
		"no continuation":   h2Preface + settings + frame(1, 0, 1, "\x82"),
		"half a SETTINGS":   h2Preface + frame(4, 0, 0, "\x00\x03\x00\x00\x00\x64")[:12],
		"half continuation": h2Preface + settings + frame(1, 0, 1, "\x82") + frame(9, 4, 1, "\x84")[:9],
	} {
		for listener, alpn := range map[string][]string{"tls": {"h2"}, "clear": nil} {
			t.Run(name+" "+listener, func(t *testing.T) {
				c := dial(t, e, alpn...)
				_, err := io.WriteString(c, raw)
				must(t, err)
				ends(t, c)
				if r := e.nextRefusal(t); r.status != 408 {
					t.Errorf("refusal %+v", r)
				}
			})
		}
	}
}

func TestSlowHeadOnHTTP3(t *testing.T) {
	limits := defaultLimits()
	limits.HeaderTimeout = duration(short)
	e := start(t, nil, limits, sink)
	conf := clientTLS.Clone()
	conf.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(t.Context(), e.tlsAddr(), conf, nil)
	must(t, err)
	defer conn.CloseWithError(0, "")
	for _, raw := range []string{"\x01", "\x01\x20\x00\x00\xd1"} {
		str, err := conn.OpenStreamSync(t.Context())
		must(t, err)
		_, err = io.WriteString(str, raw)
		must(t, err)
		str.SetReadDeadline(time.Now().Add(patience))
		_, err = str.Read(make([]byte, 1))
		var reset *quic.StreamError
		if !errors.As(err, &reset) || reset.ErrorCode != quic.StreamErrorCode(http3.ErrCodeRequestIncomplete) {
			t.Errorf("%q: %v, want a reset with H3_REQUEST_INCOMPLETE", raw, err)
		}
		if r := e.nextRefusal(t); r.status != http.StatusRequestTimeout || r.client.Proto != "HTTP/3.0" {
			t.Errorf("%q: refusal %+v", raw, r)
		}
	}
	if conn.Context().Err() != nil {
		t.Error("the connection was closed with the stream")
	}
}

func TestSlowBody(t *testing.T) {
	limits := defaultLimits()
	limits.BodyTimeout = duration(short)
	results := make(chan error, 1)
	e := start(t, nil, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		results <- err
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	overAll(t, func(t *testing.T, p proto) {
		pr, pw := io.Pipe()
		defer pw.Close()
		go io.WriteString(pw, "a part")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "POST", p.url(e), pr)
		must(t, err)
		go func() {
			if res, err := p.client(t).Do(req); err == nil {
				res.Body.Close()
			}
		}()
		err = receive(t, results, "the end of the body")
		var pe *proxystatus.Error
		if !errors.As(err, &pe) || pe.HTTPStatus() != http.StatusRequestTimeout {
			t.Errorf("%v, want a proxystatus.Error with 408", err)
		}
	})
}

// A body that moves may take many times the timeout.
func TestBodyThatMovesIsNotCut(t *testing.T) {
	limits := defaultLimits()
	limits.BodyTimeout = duration(short)
	limits.WriteTimeout = duration(short)
	e := start(t, nil, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.ProtoMajor == 1 {
			rc.EnableFullDuplex()
		}
		w.WriteHeader(200)
		rc.Flush()
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 8 {
			t.Errorf("%d bytes, %v", n, err)
		}
		// Nothing to send for longer than the write timeout.
		timer := time.NewTimer(3 * short)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			t.Error("an idle response was cut")
		}
		io.WriteString(w, "end")
	}))
	overAll(t, func(t *testing.T, p proto) {
		pr, pw := io.Pipe()
		go func() {
			defer pw.Close()
			tick := time.NewTicker(short / 3)
			defer tick.Stop()
			for range 8 {
				<-tick.C
				io.WriteString(pw, "x")
			}
		}()
		res, err := p.client(t).Do(request(t, "POST", p.url(e), pr))
		must(t, err)
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "end" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// A client that does not read is cut off, wherever its answer is stuck.
func TestSlowReader(t *testing.T) {
	limits := defaultLimits()
	limits.WriteTimeout = duration(short)
	results := make(chan error, 1)
	e := start(t, nil, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				results <- err
				return
			}
		}
	}))
	overAll(t, func(t *testing.T, p proto) {
		res, err := p.client(t).Get(p.url(e))
		must(t, err)
		defer res.Body.Close()
		receive(t, results, "the end of the writing")
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("the answer ended as if it were whole")
		}
	})
}

// A client of HTTP/2 that grants no window holds an answer after its handler.
func TestSlowReaderOfASmallAnswer(t *testing.T) {
	limits := defaultLimits()
	limits.WriteTimeout = duration(short)
	e := start(t, nil, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "small")
	}))
	c := dial(t, e, "h2")
	const noWindow = "\x00\x04\x00\x00\x00\x00" // SETTINGS_INITIAL_WINDOW_SIZE = 0
	head := "\x82\x87\x84\x41\x01a"             // GET https / a
	_, err := io.WriteString(c, h2Preface+frame(4, 0, 0, noWindow)+frame(1, 5, 1, head))
	must(t, err)
	for {
		var h [9]byte
		_, err := io.ReadFull(c, h[:])
		must(t, err)
		length := int64(binary.BigEndian.Uint32(h[:4]) >> 8)
		_, err = io.CopyN(io.Discard, c, length)
		must(t, err)
		if h[3] == 3 { // RST_STREAM
			return
		}
	}
}
