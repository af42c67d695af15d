package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"

	"github.com/ergoproxy/ergo/deploy/require"
	"github.com/ergoproxy/ergo/shared/link"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// A relay is a path on loopback that swallows packets beyond a size, and each n-th.
type relay struct {
	client, server *net.UDPConn // what they write to
	to             *net.UDPAddr // the server
	from           atomic.Pointer[net.UDPAddr]
	most, loses    int
	swallowed      atomic.Int64
	running        sync.WaitGroup
}

func newRelay(t *testing.T, to *net.UDPAddr, most, loses int) *relay {
	t.Helper()
	r := &relay{client: loopback(t), server: loopback(t), to: to, most: most, loses: loses}
	r.running.Go(func() {
		r.carry(r.client, func(packet []byte, from *net.UDPAddr) {
			r.from.Store(from)
			r.server.WriteToUDP(packet, r.to)
		})
	})
	r.running.Go(func() {
		r.carry(r.server, func(packet []byte, _ *net.UDPAddr) {
			if from := r.from.Load(); from != nil {
				r.client.WriteToUDP(packet, from)
			}
		})
	})
	return r
}

func (r *relay) carry(in *net.UDPConn, out func(packet []byte, from *net.UDPAddr)) {
	b := make([]byte, 1<<16)
	for i := 1; ; i++ {
		n, from, err := in.ReadFromUDP(b)
		if err != nil {
			return
		}
		if n > r.most {
			r.swallowed.Add(1)
			continue
		}
		if r.loses == 0 || i%r.loses != 0 {
			out(b[:n], from)
		}
	}
}

func (r *relay) close() {
	r.client.Close()
	r.server.Close()
	r.running.Wait()
}

func loopback(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(4 << 20)
	return c
}

// A socketWorld is two ends that speak QUIC over links over real sockets, which
// know Don't Fragment: QUIC finds out what the path carries.
type socketWorld struct {
	near, far             *quic.Conn
	nearPeer, farPeer     *link.Peer
	nearTally, farTally   link.Tally
	nearSocket, farSocket *net.UDPConn
	closers               []func()
}

// newSocketWorld connects to at, from where packets get to far.
func newSocketWorld(ctx context.Context, t *testing.T, near, far *net.UDPConn, at net.Addr) *socketWorld {
	t.Helper()
	settings := link.Settings{Repair: link.Always, Memory: 64 << 20}
	a, b := link.New(settings).UDP(near), link.New(settings).UDP(far)
	w := &socketWorld{nearSocket: near, farSocket: far}
	server, client, err := linktest.TLS()
	if err != nil {
		t.Fatal(err)
	}
	config := quicConfig(0)
	transports := [2]*quic.Transport{{Conn: a}, {Conn: b}}
	listener, err := transports[1].Listen(server, config)
	if err != nil {
		t.Fatal(err)
	}
	if w.near, err = transports[0].Dial(ctx, at, client, config); err != nil {
		t.Fatal(err)
	}
	if w.far, err = listener.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	if w.nearPeer, err = a.NewPeer(w.near.RemoteAddr(), &w.nearTally); err != nil {
		t.Fatal(err)
	}
	if w.farPeer, err = b.NewPeer(w.far.RemoteAddr(), &w.farTally); err != nil {
		t.Fatal(err)
	}
	w.nearPeer.Start(w.farPeer.Offer())
	w.farPeer.Start(w.nearPeer.Offer())
	w.closers = []func(){
		func() { w.near.CloseWithError(0, ""); w.far.CloseWithError(0, ""); listener.Close() },
		w.nearPeer.Close, w.farPeer.Close,
		func() { transports[0].Close(); transports[1].Close() },
		func() { near.Close(); far.Close() },
	}
	return w
}

func (w *socketWorld) close() {
	for _, f := range w.closers {
		f()
	}
}

// send sends content to the far end and checks what arrives, some rounds long, or
// until enough is true.
func (w *socketWorld) send(ctx context.Context, rounds int, enough func() bool) error {
	for i := 0; i < rounds && !enough(); i++ {
		out, err := w.near.OpenUniStreamSync(ctx)
		if err != nil {
			return err
		}
		written := make(chan error, 1)
		go func() {
			_, err := out.Write(content)
			written <- errors.Join(err, out.Close())
		}()
		in, err := w.far.AcceptUniStream(ctx)
		if err != nil {
			return err
		}
		in.SetReadDeadline(time.Now().Add(20 * time.Second))
		got, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(got, content) {
			return fmt.Errorf("round %d: %d bytes arrived: %v", i, len(got), err)
		}
		if err := <-written; err != nil {
			return err
		}
	}
	return nil
}

func TestQUICFindsWhatThePathCarriesBelowALink(t *testing.T) {
	for _, most := range []int{1252, 1350, 1472} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			near, far := loopback(t), loopback(t)
			path := newRelay(t, far.LocalAddr().(*net.UDPAddr), most, 50)
			defer path.close()
			w := newSocketWorld(ctx, t, near, far, path.client.LocalAddr())
			defer w.close()
			known := func() int { return w.nearPeer.Status().MaxPacket }
			// QUIC stops its search 20 bytes below what it has found not to be carried.
			if err := w.send(ctx, 400, func() bool { return known() > min(most, 1452)-30 && w.farTally.Counts().RepairedPackets > 20 }); err != nil {
				t.Fatal(err)
			}
			if got := known(); got > most || got <= min(most, 1452)-30 {
				t.Errorf("%d bytes are known to be carried, want about %d", got, most)
			}
			if swallowed := path.swallowed.Load(); (swallowed > 0) != (most < 1452) {
				t.Errorf("%d packets were swallowed", swallowed)
			}
			counts := w.farTally.Counts()
			if counts.RepairedPackets <= 20 {
				t.Errorf("%d of %d lost packets repaired", counts.RepairedPackets, counts.MissingPackets)
			}
			// Probes that are swallowed are not called lost.
			if share := float64(counts.MissingPackets) / float64(counts.ReceivedPackets); share > 0.03 {
				t.Errorf("%.1f %% called lost, one in 50 is", 100*share)
			}
		})
	}
}

// Where the machine itself refuses larger packets, QUIC learns it from the socket.
func TestQUICStaysBelowTheMTUOfTheInterface(t *testing.T) {
	near, far := inNamespaceWithMTU(t, 1280)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := near.WriteTo(make([]byte, 1280-28), far.LocalAddr()); err != nil {
		t.Fatalf("a packet as large as the MTU: %v", err)
	}
	w := newSocketWorld(ctx, t, near, far, far.LocalAddr())
	defer w.close()
	begin := time.Now()
	if err := w.send(ctx, 1000, func() bool { return time.Since(begin) > time.Second }); err != nil {
		t.Fatal(err)
	}
	if got := w.nearPeer.Status().MaxPacket; got > 1280-28 || got < 1210 {
		t.Errorf("%d bytes are known to be carried", got)
	}
	if counts := w.farTally.Counts(); counts.MissingPackets > counts.ReceivedPackets/100 {
		t.Errorf("%d packets called lost of %d", counts.MissingPackets, counts.ReceivedPackets)
	}
}

// inNamespaceWithMTU returns two sockets in a network of their own, whose loopback
// carries packets of that size. It ends with the sockets.
func inNamespaceWithMTU(t *testing.T, mtu int) (near, far *net.UDPConn) {
	t.Helper()
	if os.Getuid() != 0 {
		require.Have(t, "netns", errors.New("not root"))
	}
	var sockets [2]*net.UDPConn
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets into
		// the namespace by chance.
		runtime.LockOSThread()
		done <- func() error {
			if err := syscall.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("new network: %w", err)
			}
			if out, err := exec.Command("ip", "link", "set", "lo", "mtu", fmt.Sprint(mtu), "up").CombinedOutput(); err != nil {
				return fmt.Errorf("ip link: %w: %s", err, out)
			}
			for i := range sockets {
				c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					return err
				}
				sockets[i] = c
			}
			return nil
		}()
	}()
	require.Have(t, "netns", <-done)
	t.Cleanup(func() { sockets[0].Close(); sockets[1].Close() })
	return sockets[0], sockets[1]
}
