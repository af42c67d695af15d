package link_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// BenchmarkTransfer is what bulk over loopback costs, both ends: with the link on a
// clean path, and without. cpu-ns/op is user and system time for 1 MiB. Compare
// within one run:
//
//	go test ./shared/link -run '^$' -bench Transfer -count 5
func BenchmarkTransfer(b *testing.B) {
	for _, repair := range []link.Repair{link.Off, link.Auto} {
		b.Run(string(repair), func(b *testing.B) { benchmarkTransfer(b, repair) })
	}
}

func benchmarkTransfer(b *testing.B, repair link.Repair) {
	const chunk = 1 << 20
	shared := link.New(link.Settings{Repair: repair, Memory: 64 << 20})
	open := func() *link.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return shared.UDP(c)
	}
	near, far := open(), open()
	serverTLS, clientTLS, err := linktest.TLS()
	if err != nil {
		b.Fatal(err)
	}
	config := quicConfig(0)
	server, client := &quic.Transport{Conn: far}, &quic.Transport{Conn: near}
	defer server.Close()
	defer client.Close()
	listener, err := server.Listen(serverTLS, config)
	if err != nil {
		b.Fatal(err)
	}
	here, err := client.Dial(b.Context(), far.LocalAddr(), clientTLS, config)
	if err != nil {
		b.Fatal(err)
	}
	there, err := listener.Accept(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if repair != link.Off {
		var tally link.Tally
		p, err := near.NewPeer(here.RemoteAddr(), &tally)
		if err != nil {
			b.Fatal(err)
		}
		q, err := far.NewPeer(there.RemoteAddr(), &tally)
		if err != nil {
			b.Fatal(err)
		}
		p.Start(q.Offer())
		q.Start(p.Offer())
		defer p.Close()
		defer q.Close()
	}
	stream, err := there.OpenStreamSync(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		data := make([]byte, chunk)
		for {
			if _, err := stream.Write(data); err != nil {
				return
			}
		}
	}()
	in, err := here.AcceptStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	read := make([]byte, chunk)
	for range 16 { // the window opens, and the MTU is found
		if _, err := io.ReadFull(in, read); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(chunk)
	begin := cpu(b)
	for b.Loop() {
		if _, err := io.ReadFull(in, read); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-begin)/float64(b.N), "cpu-ns/op")
	here.CloseWithError(0, "")
}

// cpu is the CPU time of this process, in nanoseconds.
func cpu(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
