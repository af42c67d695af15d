package accesslog_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/accesslog"
	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/rs/zerolog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func defaults() accesslog.Config {
	var c accesslog.Config
	c.SetDefaults()
	return c
}

// record is an exchange that began 12.345 ms ago.
func record() *exchange.Exchange {
	x := &exchange.Exchange{
		ID:    exchange.ID{0x01, 0x90, 0xa7, 0xf2, 0x33, 0x33, 0x74, 0x44, 0x85, 0x55, 0x66, 0x66, 0x77, 0x77, 0x88, 0x88},
		Start: time.Now().Add(-12345 * time.Microsecond),
		Trace: exchange.Trace{ID: [16]byte{0x4b, 15: 0x36}, Span: [8]byte{1}},
		Client: exchange.Client{
			Addr: netip.MustParseAddrPort("203.0.113.9:5000"), Peer: netip.MustParseAddrPort("203.0.113.9:5000"),
			Scheme: "https", Proto: "HTTP/2.0", TLSVersion: tls.VersionTLS13,
		},
	}
	return x
}

// answered fills in what a core says.
func answered(x *exchange.Exchange) {
	x.Core, x.Carrier = "core-1", "quic"
	x.CoreReport = exchange.Report{Route: "web", Backend: "10.0.0.5:3000", Attempts: 1, Total: 7 * time.Millisecond}
}

func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("User-Agent", "curl/8.9")
	r.Header.Set("Authorization", "Bearer sEcReT")
	r.Header.Set("Cookie", "session=sEcReT")
	r.Header.Set("Referer", "https://u:sEcReT@example.org/from?access_token=sEcReT#x")
	return r
}

// logged returns what a Log with config c writes during use.
func logged(t *testing.T, c accesslog.Config, use func(*accesslog.Log)) string {
	t.Helper()
	var out bytes.Buffer
	l := accesslog.NewTo(&out, c, "edge", "edge-1", zerolog.Nop())
	use(l)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// serve runs one exchange and swallows the http.ErrAbortHandler that ends it.
func serve(l *accesslog.Log, w http.ResponseWriter, r *http.Request, x *exchange.Exchange, h http.HandlerFunc) (aborted bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			aborted = true
		} else if p != nil {
			panic(p)
		}
	}()
	accesslog.Wrap(l, h).ServeHTTP(w, r.WithContext(exchange.With(r.Context(), x)))
	return false
}

// lost is the ResponseWriter of a client that went away.
type lost struct{ http.ResponseWriter }

func (lost) Write([]byte) (int, error) { return 0, errors.New("write: broken pipe") }

// piped can be hijacked.
type piped struct {
	http.ResponseWriter
	conn net.Conn
}

func (p piped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r := bufio.NewReader(io.MultiReader(strings.NewReader("early"), p.conn))
	r.Peek(1) // as a server that read more than the head
	return p.conn, bufio.NewReadWriter(r, bufio.NewWriter(p.conn)), nil
}

// exchanges are the stories that the golden files tell.
var exchanges = map[string]func(l *accesslog.Log){
	"plain": func(l *accesslog.Log) {
		x := record()
		r := request("POST", "https://example.com/a%2Fb/c?token=sEcReT")
		r.Body = io.NopCloser(strings.NewReader("hello"))
		serve(l, httptest.NewRecorder(), r, x, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			answered(x)
			io.WriteString(w, "hello, ")
			io.WriteString(w, "world")
		})
	},
	"refused_401": func(l *accesslog.Log) {
		x := record()
		x.Client.Peer = netip.MustParseAddrPort("[2001:db8::1]:443")
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/private/"), x, func(w http.ResponseWriter, r *http.Request) {
			x.Refuse(w, r, "edge-1", &proxystatus.Error{Type: proxystatus.HTTPRequestDenied, Hop: "edge", Op: "auth", Status: 401,
				Err: errors.New("no token")})
		})
	},
	"filtered_403": func(l *accesslog.Log) {
		x := record()
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/"), x, func(w http.ResponseWriter, r *http.Request) {
			x.Refuse(w, r, "edge-1", &proxystatus.Error{Type: proxystatus.HTTPRequestDenied, Hop: "edge", Op: "filter: rule bots",
				Public: "rule bots"})
		})
	},
	"client_gone": func(l *accesslog.Log) {
		x := record()
		ctx, cancel := context.WithCancel(context.Background())
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/slow").WithContext(ctx), x, func(w http.ResponseWriter, r *http.Request) {
			answered(x)
			io.WriteString(w, "half")
			cancel()
			panic(http.ErrAbortHandler)
		})
	},
	"client_unwritable": func(l *accesslog.Log) {
		x := record()
		serve(l, lost{httptest.NewRecorder()}, request("GET", "https://example.com/slow"), x, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		})
	},
	"panic": func(l *accesslog.Log) {
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/"), record(), func(http.ResponseWriter, *http.Request) {
			panic("a step is broken")
		})
	},
	"panic_after_head": func(l *accesslog.Log) {
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/"), record(), func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			panic("a step is broken")
		})
	},
	"upgrade": func(l *accesslog.Log) {
		x := record()
		x.Client.Proto = "HTTP/1.1"
		near, far := net.Pipe()
		go func() {
			io.ReadFull(far, make([]byte, 6))
			io.WriteString(far, "late")
			far.Close()
		}()
		serve(l, piped{httptest.NewRecorder(), near}, request("GET", "https://example.com/ws"), x, func(w http.ResponseWriter, r *http.Request) {
			answered(x)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			io.WriteString(conn, "answer")
			io.Copy(io.Discard, conn)
		})
	},
	"head": func(l *accesslog.Log) {
		x := record()
		serve(l, httptest.NewRecorder(), request("HEAD", "https://example.com/"), x, func(w http.ResponseWriter, r *http.Request) {
			answered(x)
			w.Header().Set("Content-Length", "5000")
			w.WriteHeader(200)
			io.WriteString(w, "not sent")
		})
	},
	"core_error": func(l *accesslog.Log) {
		x := record()
		x.Attempt, x.Client.EarlyData, x.Principal.Subject = 1, true, "alice"
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/"), x, func(w http.ResponseWriter, r *http.Request) {
			answered(x)
			x.CoreReport.Attempts, x.CoreReport.Error = 3, proxystatus.ConnectionRefused
			x.CoreReport.Detail = "dial 10.0.0.5:3000: connection refused"
			w.WriteHeader(502)
		})
	},
	"core_cut": func(l *accesslog.Log) {
		x := record()
		serve(l, httptest.NewRecorder(), request("GET", "https://example.com/"), x, func(w http.ResponseWriter, r *http.Request) {
			answered(x)
			x.CoreReport.Error, x.CoreReport.Detail = proxystatus.HTTPResponseIncomplete, "read body from 10.0.0.5:3000: unexpected EOF"
			io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		})
	},
	"listener_refusal": func(l *accesslog.Log) {
		l.Refused(accesslog.Refusal{
			Time: time.Now(), Peer: netip.MustParseAddrPort("[::ffff:203.0.113.9]:5000"), Proto: "HTTP/1.1", Status: 431,
			Reason: proxystatus.HTTPRequestError, Detail: "read request head: larger than 64KiB",
		})
	},
}

func TestLinesAreGolden(t *testing.T) {
	for name, tell := range exchanges {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := logged(t, defaults(), tell)
				file := filepath.Join("testdata", name+".json")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("have %s\nwant %s", got, want)
				}
				if strings.Contains(got, "sEcReT") {
					t.Errorf("the line holds a credential: %s", got)
				}
				checkKeys(t, got)
			})
		})
	}
}

// checkKeys wants one JSON object on one line, its keys listed and in order.
func checkKeys(t *testing.T, line string) {
	t.Helper()
	if strings.Count(line, "\n") != 1 {
		t.Fatalf("%q is not one line", line)
	}
	d := json.NewDecoder(strings.NewReader(line))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	rest := accesslog.Keys()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		for len(rest) > 0 && rest[0] != key {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			t.Fatalf("key %v is not listed or not in order", key)
		}
		rest = rest[1:]
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
	}
}
