package tunnel_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
)

var id = exchange.ID{0x01, 0x93, 0x2f, 0x5e, 0x80, 0x00, 0x70, 0x01, 0x80, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08}

func smallRequest() *tunnel.RequestHead {
	addr := netip.MustParseAddrPort("192.0.2.7:50000")
	return &tunnel.RequestHead{Method: "GET", Authority: "example.org", Target: "/a?b", Credit: 2 << 20, ID: id,
		Header: http.Header{"Accept": {"*/*"}},
		Client: exchange.Client{Addr: addr, Peer: addr, Scheme: "http", Proto: "HTTP/1.1"}}
}

func fullRequest() *tunnel.RequestHead {
	return &tunnel.RequestHead{Method: "PROPFIND", Authority: "[2001:db8::1]:8443", Target: "/dav", HasBody: true, ContentLength: 5,
		Continue: true, Trailer: []string{"X-Sum"}, Credit: 65536, ID: id, Attempt: 2, Remaining: 1500 * time.Millisecond,
		Header: http.Header{"X-Tag": {"one", ""}},
		Trace:  exchange.Trace{ID: [16]byte{1}, Span: [8]byte{2}, Flags: 1, State: "v=1"},
		Client: exchange.Client{Addr: netip.MustParseAddrPort("[2001:db8::9]:1"), Peer: netip.MustParseAddrPort("10.0.0.1:2"), Scheme: "https",
			Proto: "HTTP/3.0", TLSVersion: 0x0304, TLSCipher: 0x1301, ServerName: "example.org", EarlyData: true, Forwarded: "198.51.100.3"},
		Principal: exchange.Principal{Subject: "ann", Issuer: "https://id", Method: "jwt"}}
}

func upgradeRequest() *tunnel.RequestHead {
	h := smallRequest()
	h.Upgrade, h.Header = "websocket", http.Header{"Sec-Websocket-Version": {"13"}}
	return h
}

func response() *tunnel.ResponseHead {
	return &tunnel.ResponseHead{Status: 200, ContentLength: 12, Header: http.Header{"Content-Type": {"text/plain"}}, Trailer: []string{"Grpc-Status"}}
}

func end() *tunnel.End {
	return &tunnel.End{Last: true, Report: exchange.Report{Name: "core-1", Route: "all", Backend: "10.0.0.5:80", Detail: "dial", Attempts: 2,
		Error: proxystatus.ConnectionRefused, ErrorHop: "core", Queue: time.Millisecond, Connect: 2 * time.Millisecond, FirstByte: 3 * time.Millisecond,
		Total: 4 * time.Millisecond, BytesIn: 5, BytesOut: 12, ConnReused: true, Status: 200}}
}

var hello = tunnel.Hello{Version: 1, Name: "core-1", Session: tunnel.SessionID{0: 0xaa, 15: 0xbb}, MaxLanes: 1024, BodyCredit: 262144, Generation: 3,
	State: tunnel.State{Ready: true, InFlight: 2, Backends: 3},
	Link:  tunnel.LinkOffer{Version: 1, Flow: 0x123456, Key: [16]byte{0: 0xcc, 15: 0xdd}}}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func frame(t tunnel.FrameType, payload []byte) []byte {
	return append(tunnel.AppendHeader(nil, tunnel.Header{Type: t, Length: len(payload)}), payload...)
}

// A sample is a frame, its payload as a value, and how that is read back.
type sample struct {
	name  string
	frame []byte
	value any
	parse func(payload string) (any, error)
}

func control(t tunnel.FrameType) func(string) (any, error) {
	return func(p string) (any, error) { return tunnel.ParseControl(t, p) }
}

func samples() []sample {
	request := func(p string) (any, error) { return tunnel.ParseRequestHead(p) }
	trailer := http.Header{"Grpc-Status": {"0"}}
	informational := &tunnel.ResponseHead{Status: 103, ContentLength: -1, Header: http.Header{"Link": {"</a>"}}}
	answer := func(p string) (any, error) { return tunnel.ParseResponseHead(p) }
	credit := tunnel.Credit{Lane: 4, Exchange: 1, Limit: 1 << 20}
	attach := tunnel.Attach{Session: tunnel.SessionID{0: 0xaa, 15: 0xbb}, Lane: 7}
	cancel := tunnel.Cancel{Lane: 7, Code: tunnel.NewCode(proxystatus.ConnectionTerminated)}
	pong := tunnel.Pong{Nonce: 77, State: tunnel.State{Ready: true, InFlight: 2, Backends: 3}}
	state := tunnel.State{Draining: true, InFlight: 100}
	return []sample{
		{"head-small", frame(tunnel.FrameHead, must(tunnel.AppendRequestHead(nil, smallRequest()))), smallRequest(), request},
		{"head-full", frame(tunnel.FrameHead, must(tunnel.AppendRequestHead(nil, fullRequest()))), fullRequest(), request},
		{"head-upgrade", frame(tunnel.FrameHead, must(tunnel.AppendRequestHead(nil, upgradeRequest()))), upgradeRequest(), request},
		{"response", frame(tunnel.FrameResponse, must(tunnel.AppendResponseHead(nil, response()))), response(), answer},
		{"informational", frame(tunnel.FrameInformational, must(tunnel.AppendResponseHead(nil, informational))), informational, answer},
		{"trailers", frame(tunnel.FrameTrailers, must(tunnel.AppendTrailers(nil, trailer))), trailer, func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"end", frame(tunnel.FrameEnd, tunnel.AppendEnd(nil, end())), *end(), func(p string) (any, error) { return tunnel.ParseEnd(p) }},
		{"hello", tunnel.AppendHello(nil, &hello), hello, control(tunnel.FrameHello)},
		{"ping", tunnel.AppendPing(nil, tunnel.Ping{Nonce: 77}), tunnel.Ping{Nonce: 77}, control(tunnel.FramePing)},
		{"pong", tunnel.AppendPong(nil, pong), pong, control(tunnel.FramePong)},
		{"state", tunnel.AppendState(nil, state), state, control(tunnel.FrameState)},
		{"credit", tunnel.AppendCredit(nil, credit), credit, control(tunnel.FrameCredit)},
		{"attach", tunnel.AppendAttach(nil, attach), attach, control(tunnel.FrameAttach)},
		{"cancel", tunnel.AppendCancel(nil, cancel), cancel, control(tunnel.FrameCancel)},
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			h, n, err := tunnel.ParseHeader(s.frame)
			if err != nil || n+h.Length != len(s.frame) {
				t.Fatalf("header %+v takes %d of %d bytes, %v", h, n, len(s.frame), err)
			}
			got, err := s.parse(string(s.frame[n:]))
			if err != nil || !reflect.DeepEqual(got, s.value) {
				t.Fatalf("\n got %+v, %v\nwant %+v", got, err, s.value)
			}
		})
	}
}

func TestEveryTruncationFails(t *testing.T) {
	for _, s := range samples() {
		_, n, _ := tunnel.ParseHeader(s.frame)
		for i := range n {
			if _, _, err := tunnel.ParseHeader(s.frame[:i]); err != io.ErrUnexpectedEOF {
				t.Errorf("%s: header cut to %d bytes: %v", s.name, i, err)
			}
		}
		payload := string(s.frame[n:])
		for i := range len(payload) {
			got, err := s.parse(payload[:i])
			if s.name == "end" && err == nil {
				continue // a list without its last values is a list
			}
			if !errors.Is(err, tunnel.ErrProtocol) {
				t.Errorf("%s: payload cut to %d of %d bytes: %+v, %v", s.name, i, len(payload), got, err)
			}
		}
	}
}

// The files of testdata/golden hold a frame each as hexadecimal bytes, with what
// they mean after a bar. docs/tunnel-protocol.md prints the same lines.
func TestGoldenBytes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/tunnel-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	all := append(samples(), sample{name: "body", frame: frame(tunnel.FrameBody, []byte("hello"))})
	for _, s := range all {
		file := filepath.Join("testdata", "golden", s.name+".txt")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; the frame is\n% x", err, s.frame)
			continue
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "|")
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
		want, err := hex.DecodeString(digits.String())
		if err != nil || !bytes.Equal(want, s.frame) {
			t.Errorf("%s: got\n% x\nwant\n% x (%v)", file, s.frame, want, err)
		}
		if !strings.Contains(string(doc), string(text)) {
			t.Errorf("docs/tunnel-protocol.md does not print %s", file)
		}
	}
}

func TestUnsendableHeadsAreErrors(t *testing.T) {
	request := func(change func(*tunnel.RequestHead)) func() ([]byte, error) {
		return func() ([]byte, error) {
			h := smallRequest()
			change(h)
			return tunnel.AppendRequestHead(nil, h)
		}
	}
	answer := func(h tunnel.ResponseHead) func() ([]byte, error) {
		return func() ([]byte, error) { return tunnel.AppendResponseHead(nil, &h) }
	}
	long := strings.Repeat("x", 256)
	many := http.Header{"A": make([]string, tunnel.MaxFields+1)}
	for _, c := range []struct {
		name string
		make func() ([]byte, error)
		want error
	}{
		{"method with a space", request(func(h *tunnel.RequestHead) { h.Method = "GE T" }), tunnel.ErrHeadSyntax},
		{"no method", request(func(h *tunnel.RequestHead) { h.Method = "" }), tunnel.ErrHeadSyntax},
		{"long method", request(func(h *tunnel.RequestHead) { h.Method = long }), tunnel.ErrHeadSize},
		{"long upgrade", request(func(h *tunnel.RequestHead) { h.Upgrade = long }), tunnel.ErrHeadSize},
		{"long server name", request(func(h *tunnel.RequestHead) { h.Client.TLSVersion, h.Client.ServerName = 1, long }), tunnel.ErrHeadSize},
		{"upgrade with a body", request(func(h *tunnel.RequestHead) { h.Upgrade, h.HasBody = "x", true }), tunnel.ErrHeadSyntax},
		{"field name with a space", request(func(h *tunnel.RequestHead) { h.Header["A B"] = []string{"1"} }), tunnel.ErrHeadSyntax},
		{"field value with a line end", request(func(h *tunnel.RequestHead) { h.Header["A"] = []string{"1\r\nB: 2"} }), tunnel.ErrHeadSyntax},
		{"too many fields", request(func(h *tunnel.RequestHead) { h.Header = many }), tunnel.ErrHeadSize},
		{"trailer name with a space", request(func(h *tunnel.RequestHead) { h.Trailer = []string{"a b"} }), tunnel.ErrHeadSyntax},
		{"length announced as trailer", answer(tunnel.ResponseHead{Status: 200, Trailer: []string{"Content-Length"}}), tunnel.ErrHeadSyntax},
		{"too many trailer names", answer(tunnel.ResponseHead{Status: 200, Trailer: make([]string, tunnel.MaxFields+1)}), tunnel.ErrHeadSize},
		{"status of two digits", answer(tunnel.ResponseHead{Status: 99}), tunnel.ErrHeadSyntax},
		{"status of four digits", answer(tunnel.ResponseHead{Status: 1000}), tunnel.ErrHeadSyntax},
	} {
		if b, err := c.make(); !errors.Is(err, c.want) || b != nil {
			t.Errorf("%s: %x, %v, want %v", c.name, b, err, c.want)
		}
	}
}

// Numbers beyond 62 bits made the encoder panic: a client can send them.
func TestAbsurdContentLengthCountsAsUnknown(t *testing.T) {
	h := smallRequest()
	h.HasBody, h.ContentLength = true, 1<<63-1
	got, err := tunnel.ParseRequestHead(string(must(tunnel.AppendRequestHead(nil, h))))
	if err != nil || got.ContentLength != -1 {
		t.Errorf("request: %v, %v", got, err)
	}
	r, err := tunnel.ParseResponseHead(string(must(tunnel.AppendResponseHead(nil, &tunnel.ResponseHead{Status: 200, ContentLength: 1<<63 - 1}))))
	if err != nil || r.ContentLength != -1 {
		t.Errorf("response: %v, %v", r, err)
	}
}

func TestContentLengthTravelsOnce(t *testing.T) {
	h := smallRequest()
	h.HasBody, h.ContentLength = true, 9
	h.Header["Content-Length"] = []string{"10"}
	got, err := tunnel.ParseRequestHead(string(must(tunnel.AppendRequestHead(nil, h))))
	if err != nil || got.ContentLength != 9 || got.Header["Content-Length"] != nil {
		t.Errorf("%+v, %v", got, err)
	}
	literal := "\x01\x00\x0econtent-length\x019"
	if _, err := tunnel.ParseTrailers(literal); !errors.Is(err, tunnel.ErrProtocol) {
		t.Errorf("Content-Length as a field: %v", err)
	}
}

func TestHostilePayloadsAreViolations(t *testing.T) {
	small := string(must(tunnel.AppendRequestHead(nil, smallRequest())))
	for _, c := range []struct {
		name    string
		payload string
		parse   func(string) (any, error)
	}{
		{"unknown head flag", "\x7f\xff" + small[1:], func(p string) (any, error) { return tunnel.ParseRequestHead(p) }},
		{"byte after a head", small + "x", func(p string) (any, error) { return tunnel.ParseRequestHead(p) }},
		{"field number beyond the table", "\x01\x40\xff\x01x", func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"field value with a line end", "\x01\x01\x02a\n", func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"field name with a colon", "\x01\x00\x02a:\x01x", func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"a billion fields", "\xbf\xff\xff\xff", func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"a string longer than everything", "\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff", func(p string) (any, error) { return tunnel.ParseTrailers(p) }},
		{"status 99", "\x40\x63\x00\x00\x00", func(p string) (any, error) { return tunnel.ParseResponseHead(p) }},
		{"a head on the control lane", small, control(tunnel.FrameHead)},
	} {
		if got, err := c.parse(c.payload); !errors.Is(err, tunnel.ErrProtocol) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, b := range []string{"\x00\x00", "\x08\x00", "\x26\x80\x00\x20\x00", "\x04\x80\x01\x00\x01", "\x01\xc0\x00\x00\x00\xff\x00\x00\x00"} {
		if h, _, err := tunnel.ParseHeader([]byte(b)); !errors.Is(err, tunnel.ErrProtocol) {
			t.Errorf("header %x: %+v, %v", b, h, err)
		}
	}
}

func TestOversizedLengthsTakeNoMemory(t *testing.T) {
	hostile := []string{"\xbf\xff\xff\xff", "\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff", "\x43\xff" + strings.Repeat("\x01", 10)}
	bytes := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, payload := range hostile {
				tunnel.ParseTrailers(payload)
			}
		}
	}).AllocedBytesPerOp()
	if bytes > 2048 {
		t.Errorf("%d bytes allocated for three hostile payloads", bytes)
	}
}

// typicalRequest has ten fields, as a browser sends them.
func typicalRequest() *tunnel.RequestHead {
	h := smallRequest()
	h.Header = http.Header{"Accept": {"text/html,application/xhtml+xml"}, "Accept-Encoding": {"gzip, deflate, br"}, "Accept-Language": {"en"},
		"Cache-Control": {"no-cache"}, "Cookie": {"session=0123456789abcdef"}, "Referer": {"https://example.org/"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"},
		"Upgrade-Insecure-Requests": {"1"}, "Sec-Fetch-Mode": {"navigate"}, "X-Custom-Field": {"value"}}
	return h
}

func TestHeadsCostFewAllocations(t *testing.T) {
	h, buf := typicalRequest(), make([]byte, 0, 4096)
	payload := string(must(tunnel.AppendRequestHead(nil, h)))
	if n := testing.AllocsPerRun(100, func() { must(tunnel.AppendRequestHead(buf, h)) }); n != 0 {
		t.Errorf("append: %v allocations, want 0", n)
	}
	// The head, the map with its table, and one slice for all values.
	if n := testing.AllocsPerRun(100, func() { tunnel.ParseRequestHead(payload) }); n > 6 {
		t.Errorf("parse: %v allocations, want at most 6", n)
	}
}

func BenchmarkAppendRequestHead(b *testing.B) {
	h, buf := typicalRequest(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		must(tunnel.AppendRequestHead(buf, h))
	}
}

func BenchmarkParseRequestHead(b *testing.B) {
	payload := string(must(tunnel.AppendRequestHead(nil, typicalRequest())))
	b.ReportAllocs()
	for b.Loop() {
		tunnel.ParseRequestHead(payload)
	}
}
