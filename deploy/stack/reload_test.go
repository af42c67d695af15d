package stack_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/deploy/stack"
)

// A slowExchange is one that goes on while something happens to the tiers: step
// makes it move, finish ends it and fails the test if anything of it was lost.
type slowExchange struct {
	step   func()
	finish func()
}

// download gets a body whose pieces the test asks for.
func (c *cell) download(t testing.TB) slowExchange {
	t.Helper()
	next := make(chan struct{})
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		for range next {
			io.WriteString(w, "piece\n")
			flush(w)
		}
	})
	first := make(chan struct{})
	go func() { next <- struct{}{}; close(first) }()
	res := c.do(t, c.request(t, "GET", path, nil))
	<-first
	lines := bufio.NewReader(res.Body)
	read := func() {
		t.Helper()
		if got, err := lines.ReadString('\n'); got != "piece\n" || err != nil {
			t.Fatalf("%s download: %q, %v", c.client, got, err)
		}
	}
	read()
	return slowExchange{
		step: func() { t.Helper(); next <- struct{}{}; read() },
		finish: func() {
			t.Helper()
			close(next)
			if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
				t.Errorf("%s download: at the end %q, %v", c.client, rest, err)
			}
		},
	}
}

// upload sends a body in pieces, each of which the backend must have got.
func (c *cell) upload(t testing.TB) slowExchange {
	t.Helper()
	got := make(chan string)
	path := c.b.handle(func(w http.ResponseWriter, r *http.Request) {
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			got <- lines.Text()
		}
		close(got)
		io.WriteString(w, "all there")
	})
	body, out := io.Pipe()
	req := c.request(t, "POST", path, body)
	answer := make(chan string, 1)
	go func() {
		res, err := c.http.Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		c.in.book.answered(req.UserAgent(), res.StatusCode)
		answer <- fmt.Sprint(string(text), err)
	}()
	step := func() {
		t.Helper()
		io.WriteString(out, "piece\n")
		if piece := await(t, got, "a piece of the upload"); piece != "piece" {
			t.Fatalf("%s upload: backend got %q", c.client, piece)
		}
	}
	step()
	return slowExchange{step: step, finish: func() {
		t.Helper()
		out.Close()
		if text := await(t, answer, "the answer to the upload"); text != "all there<nil>" {
			t.Errorf("%s upload: %s", c.client, text)
		}
	}}
}

// conversation keeps a WebSocket open.
func (c *cell) conversation(t testing.TB) slowExchange {
	t.Helper()
	conn := c.webSocket(t, "/ws")
	step := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := conn.Write(ctx, websocket.MessageText, []byte("still there?")); err != nil {
			t.Fatalf("%s WebSocket: %v", c.client, err)
		}
		if _, text, err := conn.Read(ctx); err != nil || string(text) != "still there?" {
			t.Fatalf("%s WebSocket: %q, %v", c.client, text, err)
		}
	}
	step()
	return slowExchange{step: step, finish: func() {
		t.Helper()
		step()
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("%s WebSocket: close: %v", c.client, err)
		}
	}}
}

// exchanges begins one of each kind over every client protocol.
func exchanges(t testing.TB, in *installation) (all []slowExchange) {
	for i, client := range clientProtocols {
		backend := backendProtocols[i%3]
		all = append(all, newCell(t, in, client, backend).download(t), newCell(t, in, client, backend).upload(t))
	}
	return append(all, newCell(t, in, "h1", "h1").conversation(t), newCell(t, in, "h1tls", "h1").conversation(t))
}

func each(all []slowExchange, do func(slowExchange)) {
	for _, x := range all {
		do(x)
	}
}

// TestReload changes what can be changed while exchanges of every kind run: none
// of them may be cut.
func TestReload(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier, twoCores)
			all := exchanges(t, in)
			step := func() { t.Helper(); each(all, func(x slowExchange) { t.Helper(); x.step() }) }
			for _, r := range []struct {
				name string
				run  func(*testing.T, *installation)
			}{
				{"nothing changed", reloadNothing}, {"invalid", reloadInvalid}, {"certificate", reloadCertificate},
				{"limits", reloadLimits}, {"pool", reloadPool}, {"core added and removed", reloadCores},
			} {
				t.Run(r.name, func(t *testing.T) {
					r.run(t, in)
					for _, client := range clientProtocols {
						testGet(t, newCell(t, in, client, "h1"))
					}
				})
				step()
			}
			each(all, func(x slowExchange) { x.finish() })
		})
	}
}

func same(text string) string { return text }

func reloadNothing(t *testing.T, in *installation) {
	if err := in.reloadEdge(t, same); err != nil {
		t.Error("edge: ", err)
	}
	if err := in.reloadCore(t, 0, same); err != nil {
		t.Error("core: ", err)
	}
}

// reloadInvalid tries configurations that do not validate, or that cannot be put
// into force.
func reloadInvalid(t *testing.T, in *installation) {
	var before string
	bad := func(old, new string) func(string) string {
		return func(text string) string {
			before = text
			return strings.Replace(text, old, new, 1)
		}
	}
	restore := func(string) string { return before }
	edgeBefore, coreBefore := in.Edges[0].Status().Generation, in.Cores[0].Status().Generation
	for _, change := range []func(string) string{bad("tunnel:", "tunel:"), bad("site.crt", "ca.crt"), bad("name: edge-1", "name: edge-9")} {
		if err := in.reloadEdge(t, change); err == nil {
			t.Error("edge took an invalid configuration")
		}
		in.reloadEdge(t, restore)
		edgeBefore++
	}
	for _, change := range []func(string) string{bad("backend: h1", "backend: h9"), bad("backends.crt", "core-1.key"), bad("name: core-1", "name: core-9")} {
		if err := in.reloadCore(t, 0, change); err == nil {
			t.Error("core took an invalid configuration")
		}
		in.reloadCore(t, 0, restore)
		coreBefore++
	}
	if e, c := in.Edges[0].Status().Generation, in.Cores[0].Status().Generation; e != edgeBefore || c != coreBefore {
		t.Errorf("generations %d and %d, want %d and %d", e, c, edgeBefore, coreBefore)
	}
}

// reloadCertificate replaces the site's certificate: new handshakes see the new
// one.
func reloadCertificate(t *testing.T, in *installation) {
	fresh, err := pki.NewThrowaway(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := pki.Dir{Path: in.Dir, Force: true}
	if _, _, err := dir.Write("site", fresh.Site); err != nil {
		t.Fatal(err)
	}
	if err := in.reloadEdge(t, same); err != nil {
		t.Fatal(err)
	}
	old := in.CA
	in.CA = fresh.CA
	addr := strings.TrimPrefix(in.TLSURL(0), "https://")
	if conn, err := tls.Dial("tcp", addr, clientTLS(old, "h2")); err == nil {
		conn.Close()
		t.Error("a new handshake got the old certificate")
	}
	for _, client := range clientProtocols {
		testGet(t, newCell(t, in, client, "h2"))
	}
}

// reloadLimits changes a limit of the listeners: it counts for new connections.
func reloadLimits(t *testing.T, in *installation) {
	if err := in.reloadEdge(t, func(text string) string { return text + "limits: {header_count: 20}\n" }); err != nil {
		t.Fatal(err)
	}
	for _, client := range clientProtocols {
		c := newCell(t, in, client, "h1")
		req := c.request(t, "GET", "/headers", nil)
		c.in.book.forget(req.UserAgent()) // a listener's refusal does not know it
		for i := range 30 {
			req.Header.Set(fmt.Sprintf("X-%d", i), "x")
		}
		res, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("%s: status %d with 30 fields", client, res.StatusCode)
		}
	}
	if err := in.reloadEdge(t, func(text string) string { return strings.Replace(text, "limits: {header_count: 20}\n", "", 1) }); err != nil {
		t.Fatal(err)
	}
}

// reloadPool sends new requests to another backend.
func reloadPool(t *testing.T, in *installation) {
	second := startBackend(t, "h1", "", pki.Pair{})
	old := in.backends["h1"]
	swap := func(from, to *backend) {
		t.Helper()
		for i := range in.Cores {
			if err := in.reloadCore(t, i, func(text string) string { return strings.Replace(text, from.url(), to.url(), 1) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := second.handle(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "second") })
	swap(old, second)
	for _, client := range clientProtocols {
		if _, text := newCell(t, in, client, "h1").get(t, path); text != "second" {
			t.Errorf("%s: answered %q", client, text)
		}
	}
	swap(second, old)
}

// reloadCores takes the second core out of the edge's configuration, and back in.
func reloadCores(t *testing.T, in *installation) {
	second := fmt.Sprintf("\n    - {address: %q, name: core-2}", in.Cores[1].Addr())
	requests := func() uint64 {
		for _, p := range in.Cores[1].Status().Pools {
			if p.Name == "h1" {
				return uint64(p.Requests)
			}
		}
		return 0
	}
	if err := in.reloadEdge(t, func(text string) string { return strings.Replace(text, second, "", 1) }); err != nil {
		t.Fatal(err)
	}
	before := requests()
	for range 20 {
		testGet(t, newCell(t, in, "h1", "h1"))
	}
	if n := len(in.Edges[0].Status().Tunnels); n != 1 || requests() != before {
		t.Errorf("%d tunnels after a core was removed, which got %d new requests", n, requests()-before)
	}
	if err := in.reloadEdge(t, func(text string) string {
		return strings.Replace(text, "name: core-1}", "name: core-1}"+second, 1)
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the core that was added gets requests", func() bool {
		testGet(t, newCell(t, in, "h1", "h1"))
		return requests() > before
	})
}

// twoCores is an option of install.
func twoCores(o *stack.Options) { o.Cores = 2 }
