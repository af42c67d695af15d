package linktest_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/link/linktest"
)

func udp(last byte, port int) *net.UDPAddr {
	return &net.UDPAddr{IP: net.IPv4(10, 0, 0, last), Port: port}
}

func pair(c linktest.Conditions) (a, b *linktest.Conn) {
	return linktest.Pair(linktest.NewPath(1, c), linktest.NewPath(2, c))
}

// expect reads one packet.
func expect(t *testing.T, c *linktest.Conn, content string, from *net.UDPAddr) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Second))
	var b [100]byte
	n, addr, err := c.ReadFrom(b[:])
	if err != nil || string(b[:n]) != content || addr.String() != from.String() {
		t.Errorf("read %q from %v, %v, want %q from %v", b[:n], addr, err, content, from)
	}
}

// expectNothing waits for a packet that does not come.
func expectNothing(t *testing.T, c *linktest.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Second))
	var b [100]byte
	if n, _, err := c.ReadFrom(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %q, %v, want nothing", b[:n], err)
	}
}

func TestPairCarriesPacketsInTheTimeOfThePath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(linktest.Conditions{Delay: 40 * time.Millisecond})
		begin := time.Now()
		content := []byte("one")
		a.WriteTo(content, b.LocalAddr())
		copy(content, "xxx") // what was sent does not change any more
		expect(t, b, "one", udp(1, 1))
		if took := time.Since(begin); took != 40*time.Millisecond {
			t.Errorf("took %v", took)
		}
		b.WriteTo([]byte("two"), a.LocalAddr())
		expect(t, a, "two", udp(2, 2))
		a.WriteTo([]byte("nobody"), udp(9, 9))
		expectNothing(t, b)
	})
}

func TestRebindChangesWhereAnEndIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(linktest.Conditions{})
		a.Rebind(udp(7, 700))
		a.WriteTo([]byte("x"), b.LocalAddr())
		expect(t, b, "x", udp(7, 700))
		b.WriteTo([]byte("old"), udp(1, 1))
		expectNothing(t, a)
		b.WriteTo([]byte("new"), udp(7, 700))
		expect(t, a, "new", udp(2, 2))
		if got := a.LocalAddr().String(); got != "10.0.0.1:1" {
			t.Errorf("the end itself sees %s", got)
		}
	})
}

func TestInjectedPacketsComeFromWhereTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := pair(linktest.Conditions{})
		b.Inject([]byte("forged"), udp(66, 6))
		expect(t, b, "forged", udp(66, 6))
	})
}

func TestReplaceStartsTheOtherEndAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(linktest.Conditions{})
		b.Close()
		anew := a.Replace(linktest.NewPath(3, linktest.Conditions{}))
		a.WriteTo([]byte("x"), b.LocalAddr())
		expect(t, anew, "x", udp(1, 1))
		anew.WriteTo([]byte("y"), a.LocalAddr())
		expect(t, a, "y", udp(2, 2))
	})
}

func TestCloseEndsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(linktest.Conditions{})
		done := make(chan error)
		go func() {
			_, _, err := a.ReadFrom(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		a.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom: %v", err)
		}
		if _, err := a.WriteTo([]byte("x"), b.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo: %v", err)
		}
	})
}

func TestDeadlineMovesWhileSomebodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(linktest.Conditions{})
		begin := time.Now()
		a.SetReadDeadline(begin.Add(time.Hour))
		time.AfterFunc(time.Second, func() { a.SetReadDeadline(begin.Add(2 * time.Second)) })
		_, _, err := a.ReadFrom(make([]byte, 1))
		if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took != 2*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
