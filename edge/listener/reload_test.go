package listener_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/quic-go/quic-go"
)

// nameOf returns the first name in the certificate that e shows for sni.
func nameOf(t *testing.T, addr, sni string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: sni})
	must(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestCertificateIsChosenBySNI(t *testing.T) {
	dir := t.TempDir()
	var certs []listener.Certificate
	for i, names := range [][]string{{"first.example"}, {"a.example", "b.example"}, {"*.wild.example"}, {"exact.wild.example"}} {
		certs = append(certs, writeCertificate(t, dir, fmt.Sprint(i), names...))
	}
	e := start(t, []listener.Config{tlsConfig(certs)}, defaultLimits(), sink)
	for sni, want := range map[string]string{
		"first.example": "first.example", "b.example": "a.example", "B.EXAMPLE": "a.example",
		"x.wild.example": "*.wild.example", "exact.wild.example": "exact.wild.example",
		"x.y.wild.example": "first.example", "wild.example": "first.example", "unknown.example": "first.example", "": "first.example",
	} {
		if got := nameOf(t, e.clearAddr(), sni); got != want {
			t.Errorf("%q: certificate of %s, want %s", sni, got, want)
		}
	}
}

func TestCertificatesAreReplacedWithoutCutting(t *testing.T) {
	e := start(t, nil, defaultLimits(), sink)
	clients := map[string]*http.Client{}
	for _, p := range protos[1:] {
		clients[p.name] = p.client(t)
		res, err := clients[p.name].Get(p.url(e))
		must(t, err)
		io.Copy(io.Discard, res.Body) // so that the connection can be used again
		res.Body.Close()
	}
	open, _ := e.Connections()
	writeCertificate(t, e.dir, "site", "renewed.example")
	must(t, e.ReloadCertificates())
	if got := nameOf(t, e.tlsAddr(), ""); got != "renewed.example" {
		t.Errorf("certificate of %s", got)
	}
	conf := clientTLS.Clone()
	conf.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(t.Context(), e.tlsAddr(), conf, nil)
	must(t, err)
	if got := conn.ConnectionState().TLS.PeerCertificates[0].DNSNames[0]; got != "renewed.example" {
		t.Errorf("certificate of %s over QUIC", got)
	}
	conn.CloseWithError(0x100, "")
	eventually(t, "the end of the two", func() bool { now, _ := e.Connections(); return now == open })
	for _, p := range protos[1:] {
		res, err := clients[p.name].Get(p.url(e))
		must(t, err)
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if now, _ := e.Connections(); now != open {
		t.Errorf("%d connections, were %d: some were made anew", now, open)
	}
}

func TestBrokenReloadChangesNothing(t *testing.T) {
	e := start(t, nil, defaultLimits(), sink)
	before := fmt.Sprint(e.Addrs())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	onTaken := clearConfig()
	onTaken.Address = taken.Addr().String()
	noKey := tlsConfig([]listener.Certificate{{Cert: e.cert.Cert, Key: config.Path(e.dir + "/none")}})
	for name, configs := range map[string][]listener.Config{
		"port taken":       append(e.standard(), onTaken),
		"key missing":      append(e.standard(), noKey),
		"protocol unknown": {clearConfig("h9")},
	} {
		if err := e.Reload(configs, defaultLimits()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	must(t, os.WriteFile(string(e.cert.Cert), []byte("garbage"), 0o600))
	if err := e.ReloadCertificates(); err == nil {
		t.Error("broken certificate: no error")
	}
	if now := fmt.Sprint(e.Addrs()); now != before {
		t.Errorf("addresses %s, were %s", now, before)
	}
	overAll(t, func(t *testing.T, p proto) {
		if !served(t, p, e) {
			t.Error("not served any more")
		}
	})
}

func TestReloadAddsRemovesAndKeeps(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	e := start(t, nil, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(entered)
			<-release
			io.WriteString(w, "whole")
		}
	}))
	kept := protos[0].client(t)
	res, err := kept.Get(clearURL(e))
	must(t, err)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	answer := make(chan string, 1)
	removed := protos[2].client(t)
	url := tlsURL(e)
	go func() {
		res, err := removed.Get(url + "/wait")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	receive(t, entered, "the request")

	added := clearConfig()
	added.Address = "127.0.0.2:0"
	configs := []listener.Config{e.standard()[0], added}
	limits := defaultLimits()
	limits.URLBytes = 100
	must(t, e.Reload(configs, limits))
	addrs := e.Addrs()
	if len(addrs) != 2 || !strings.HasPrefix(addrs[1].String(), "127.0.0.2:") {
		t.Fatalf("addresses %v", addrs)
	}
	get := func(c *http.Client, url string) int {
		res, err := c.Get(url)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	if got := get(protos[0].client(t), "http://"+addrs[1].String()); got != 200 {
		t.Errorf("added listener: %d", got)
	}
	long := "/" + strings.Repeat("a", 200)
	if got := get(kept, clearURL(e)+long); got != 200 {
		t.Errorf("old connection: %d, want the old limit", got)
	}
	if got := get(protos[0].client(t), clearURL(e)+long); got != http.StatusRequestURITooLong {
		t.Errorf("new connection: %d, want the new limit", got)
	}
	if got := get(protos[2].client(t), url); got != 0 {
		t.Errorf("removed listener: %d", got)
	}
	close(release)
	if got := receive(t, answer, "the answer"); got != "whole" {
		t.Errorf("request of the removed listener: %s", got)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	own := writeCertificate(t, dir, "client", "client")
	site := writeCertificate(t, dir, "site", "localhost")
	pair, err := tls.LoadX509KeyPair(string(own.Cert), string(own.Key))
	must(t, err)
	for _, tt := range []struct {
		auth          string
		with, without bool
	}{{"require", true, false}, {"request", true, true}} {
		conf := tlsConfig([]listener.Certificate{site})
		conf.TLS.ClientAuth, conf.TLS.ClientCA = tt.auth, own.Cert
		e := start(t, []listener.Config{conf}, defaultLimits(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, len(r.TLS.PeerCertificates))
		}))
		for given, want := range map[bool]bool{true: tt.with, false: tt.without} {
			tr := &http.Transport{TLSClientConfig: clientTLS.Clone(), ForceAttemptHTTP2: true}
			if given {
				tr.TLSClientConfig.Certificates = []tls.Certificate{pair}
			}
			res, err := (&http.Client{Transport: tr}).Get("https://" + e.clearAddr())
			if (err == nil) != want {
				t.Errorf("%s, certificate given: %v: %v", tt.auth, given, err)
			}
			if err == nil {
				if b, _ := io.ReadAll(res.Body); (string(b) == "1") != given {
					t.Errorf("%s: the handler saw %s certificates", tt.auth, b)
				}
				res.Body.Close()
			}
			tr.CloseIdleConnections()
		}
	}
}

func TestDrainWaitsForHijackedConnections(t *testing.T) {
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
	upgrade := func() (net.Conn, *bufio.Reader) {
		c := dial(t, e)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		must(t, err)
		if res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res.Status)
		}
		return c, r
	}
	ending, endingReader := upgrade()
	staying, _ := upgrade()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- e.Drain(ctx) }()
	eventually(t, "the end of listening", func() bool {
		c, err := net.DialTimeout("tcp", e.clearAddr(), time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	io.WriteString(ending, "ping\n")
	if line, err := endingReader.ReadString('\n'); line != "ping\n" {
		t.Fatalf("%q, %v", line, err)
	}
	ending.Close()
	eventually(t, "the end of one connection", func() bool { open, _ := e.Connections(); return open == 1 })
	select {
	case err := <-drained:
		t.Fatalf("Drain returned %v with a connection open", err)
	default:
	}
	cancel()
	if err := receive(t, drained, "the end of Drain"); err == nil {
		t.Error("Drain returned nil though it cut a connection")
	}
	ends(t, staying)
}
