package h1_test

import (
	"crypto/tls"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

func wire(t *testing.T) (*h1.Wire, *peer) {
	client, server := tcp(t)
	w, err := h1.NewWire(client)
	if err != nil {
		t.Fatal(err)
	}
	return w, server
}

func TestQuietSeesWhatComes(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"a byte": func(p *peer) { p.say("x") },
		"FIN":    func(p *peer) { p.CloseWrite() },
		"RST":    func(p *peer) { p.SetLinger(0); p.Close() },
	} {
		w, p := wire(t)
		w.SetReadDeadline(time.Now().Add(-time.Second)) // left from an exchange
		for range 3 {
			if !w.Quiet(w) {
				t.Fatalf("%s: not quiet before", name)
			}
		}
		end(p)
		eventually(t, name+" is seen", func() bool { return !w.Quiet(w) })
	}
}

func TestQuietConnectionsGoOnWorking(t *testing.T) {
	w, p := wire(t)
	for range 3 {
		if !w.Quiet(w) {
			t.Fatal("not quiet")
		}
		io.WriteString(w, "ping")
		io.ReadFull(p.in, make([]byte, 4))
		p.say("pong")
		if _, err := io.ReadFull(w, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if w.Quiet(w) {
		t.Error("a closed connection is quiet")
	}
}

// secured returns TLS on top of a Wire, and the backend's end. The tickets that
// the backend sends after its handshake are still unread.
func secured(t *testing.T, version uint16) (*h1.Wire, *tls.Conn, *tls.Conn) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	w, p := wire(t)
	server := tls.Server(p.TCPConn, &tls.Config{Certificates: srv.TLS.Certificates, MaxVersion: version})
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	client := tls.Client(w, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return w, client, server
}

func TestQuietSeesThroughTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w, client, server := secured(t, version)
		for range 3 {
			if !w.Quiet(client) {
				t.Fatal("tickets make it unusable")
			}
			io.WriteString(server, "pong")
			if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			client.SetReadDeadline(time.Now().Add(-time.Second))
			if !w.Quiet(client) {
				t.Fatal("not quiet although nothing came")
			}
			client.SetReadDeadline(time.Time{})
		}
		// Two bytes in one record: the second is already decrypted.
		io.WriteString(server, "xy")
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if w.Quiet(client) {
			t.Error("decrypted bytes are not seen")
		}

		w, client, server = secured(t, version)
		server.CloseWrite() // close_notify
		eventually(t, "close_notify is seen", func() bool { return !w.Quiet(client) })
	}
}

func BenchmarkQuiet(b *testing.B) {
	client, _ := tcp(b)
	w, err := h1.NewWire(client)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !w.Quiet(w) {
			b.Fatal("not quiet")
		}
	}
}
