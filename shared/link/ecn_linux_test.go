package link

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// QUIC goes on marking what it sends although one packet in ten comes back by
// parity. It gives up on a path of which it hears of a mark less than it has sent in
// its first packets, as it may when the last of them is rebuilt with the help of a
// later one without a mark: one connection in ten here.
func TestQUICKeepsECNOverARepairedPath(t *testing.T) {
	for range 6 {
		if marked, of := marksOverARepairedPath(t); marked >= of*9/10 {
			return
		}
	}
	t.Error("six connections in a row have given up ECN")
}

// marksOverARepairedPath sends 4 MiB over a connection and returns how many of its
// later packets were marked.
func marksOverARepairedPath(t *testing.T) (marked, of int) {
	a, b := newUDPEnds(t, "udp4", "127.0.0.1", Settings{Repair: Always})
	lossy := &sieve{socket: a.Conn.socket, lose: func(seq uint32) bool { return seq%10 == 7 }}
	a.Conn.socket = lossy
	a.peer.sender.Store(newSender(a.Conn, b.peer.Offer(), a.peer.own.Key, a.peer.count))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server, client, err := linktest.TLS()
	if err != nil {
		t.Fatal(err)
	}
	near, far := &quic.Transport{Conn: a.UDPConn}, &quic.Transport{Conn: b.UDPConn}
	defer near.Close()
	defer far.Close()
	config := &quic.Config{InitialPacketSize: initialPacket, DisablePathMTUDiscovery: true}
	listener, err := far.Listen(server, config)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := near.Dial(ctx, b.addr, client, config)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := listener.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := connection.OpenUniStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		s.Write(make([]byte, 4<<20))
		s.Close()
	}()
	r, err := remote.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 4<<20 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	connection.CloseWithError(0, "")
	if n := b.tally.Counts().RepairedPackets; n < 10 {
		t.Fatalf("%d packets repaired, the test shows nothing", n)
	}
	lossy.mu.Lock()
	defer lossy.mu.Unlock()
	marks := lossy.marked[kindCoded]
	last := marks[len(marks)/2:]
	for _, m := range last {
		if m == ect0 {
			marked++
		}
	}
	return marked, len(last)
}
