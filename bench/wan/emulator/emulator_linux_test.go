package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ergoproxy/ergo/deploy/require"
	"github.com/ergoproxy/ergo/shared/link/linktest"
)

// header is what IPv4 and UDP add to a datagram.
const header = 28

// openWAN returns a network with the same conditions both ways.
func openWAN(t *testing.T, c linktest.Conditions) *WAN {
	t.Helper()
	require.Have(t, "netns", Available())
	w, err := Open(Config{Out: c, Back: c, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// datagrams returns a socket of the near side and one of the far side that it is
// connected to.
func datagrams(t *testing.T, w *WAN) (near net.Conn, far net.PacketConn) {
	t.Helper()
	far, err := w.Far.ListenPacket(t.Context(), "udp", w.Far.Address.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if err := far.(*net.UDPConn).SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	near, err = w.Near.Dial(t.Context(), "udp", far.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	return near, far
}

// send writes datagrams of a size that lets them be told apart by their first byte.
func send(t *testing.T, conn net.Conn, count, size int) {
	t.Helper()
	for i := range count {
		b := make([]byte, size)
		b[0] = byte(i)
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// receive returns when datagrams arrived, count of them or all that came until
// none had for a second.
func receive(t *testing.T, conn net.PacketConn, count int) []time.Time {
	t.Helper()
	var times []time.Time
	b := make([]byte, 64<<10)
	for len(times) < count {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := conn.ReadFrom(b); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Now())
	}
	return times
}

func TestPacketsTakeTheDelayBothWays(t *testing.T) {
	const delay = 30 * time.Millisecond
	w := openWAN(t, linktest.Conditions{Delay: delay})
	near, far := datagrams(t, w)
	go func() { // until far is closed
		b := make([]byte, 100)
		for {
			n, from, err := far.ReadFrom(b)
			if err != nil {
				return
			}
			far.WriteTo(b[:n], from)
		}
	}()
	fastest := time.Hour
	for range 5 {
		sent := time.Now()
		send(t, near, 1, 10)
		near.SetReadDeadline(sent.Add(5 * time.Second))
		if _, err := near.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(sent); took < 2*delay {
			t.Errorf("there and back in %s, want at least %s", took, 2*delay)
		} else {
			fastest = min(fastest, took)
		}
	}
	if fastest > 3*delay {
		t.Errorf("the fastest of 5 took %s, want about %s", fastest, 2*delay)
	}
	if out, back := w.Counters(); out.Arrived < 5 || back.Arrived < 5 || out.Latest > out.Lateness {
		t.Errorf("out %+v, back %+v", out, back)
	}
}

func TestLossIsThatOfItsModel(t *testing.T) {
	// Paced by the rate, so that no socket overflows.
	paced := linktest.Conditions{Rate: 20e6, Queue: 5 * time.Second}
	lossy := paced
	lossy.Loss = linktest.Bernoulli(0.1)
	w := openWAN(t, paced)
	near, far := datagrams(t, w)
	w.Set(lossy, paced) // only now: nothing but these packets draws from the seed
	const sent = 4000
	send(t, near, sent, 100)
	arrived := len(receive(t, far, sent))
	out, _ := w.Counters()
	if int64(arrived) != out.Delivered || out.Packets != sent || out.Lost+out.Delivered != sent || out.Refused != 0 {
		t.Errorf("%d arrived, %+v", arrived, out)
	}
	// Binomial: mean 400, standard deviation 19.
	if out.Lost < 400-6*19 || out.Lost > 400+6*19 {
		t.Errorf("%d of %d lost, want about a tenth", out.Lost, sent)
	}
}

func TestSetHoldsForWhatIsSentAfterIt(t *testing.T) {
	clean, broken := linktest.Conditions{}, linktest.Conditions{Loss: linktest.Bernoulli(1)}
	w := openWAN(t, clean)
	near, far := datagrams(t, w)
	for i, c := range []linktest.Conditions{clean, broken, clean} {
		before, _ := w.Counters()
		w.Set(c, clean)
		send(t, near, 10, 100)
		now := awaitPackets(t, w, before.Packets+10)
		want := 10
		if c.Loss != nil {
			want = 0
		}
		if delivered := int(now.Delivered - before.Delivered); delivered != want {
			t.Errorf("step %d: %d of 10 delivered, want %d", i, delivered, want)
		}
		if got := len(receive(t, far, want)); got != want {
			t.Errorf("step %d: %d arrived, want %d", i, got, want)
		}
	}
}

// awaitPackets waits until so many packets have been read from the near device.
func awaitPackets(t *testing.T, w *WAN, packets int64) Counters {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		out, _ := w.Counters()
		if out.Packets >= packets {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets entered, want %d", out.Packets, packets)
		}
		<-time.After(time.Millisecond)
	}
}

// How packets are spaced is seen at the receiver, which may be held up and then
// read many at once: one try in five has to show the rate.
func TestRateSpacesPacketsAndItsQueueDrops(t *testing.T) {
	const size, rate = 1000, 10e6
	each := time.Duration((size + header) * 8 * 1e9 / rate)
	var spans []time.Duration
	for range 5 {
		w := openWAN(t, linktest.Conditions{Rate: rate, Queue: 50 * time.Millisecond})
		near, far := datagrams(t, w)
		send(t, near, 300, size)
		times := receive(t, far, 300)
		// The first leaves at once, and one that waits just below 50 ms is taken.
		most := int(50*time.Millisecond/each) + 2
		if len(times) < most/2 || len(times) > 3*most {
			t.Fatalf("%d of 300 arrived, want about %d", len(times), most)
		}
		if out, _ := w.Counters(); out.Dropped != int64(300-len(times)) {
			t.Fatalf("%d arrived, %+v", len(times), out)
		}
		span, want := times[len(times)-1].Sub(times[0]), time.Duration(len(times)-1)*each
		if span >= want*8/10 {
			return
		}
		spans = append(spans, span)
	}
	t.Errorf("300 packets in %s, want 40 ms and more at this rate", spans)
}

func TestPacketsAboveTheMTUVanish(t *testing.T) {
	w := openWAN(t, linktest.Conditions{MTU: 1300})
	near, far := datagrams(t, w)
	send(t, near, 3, 1300-header+1)
	send(t, near, 2, 1300-header)
	if got := len(receive(t, far, 2)); got != 2 {
		t.Errorf("%d arrived, want the 2 that fit", got)
	}
	if out, _ := w.Counters(); out.TooLarge != 3 || out.Delivered != 2 {
		t.Errorf("%+v", out)
	}
}

func TestDevicesTakeTheMTUOfTheConditions(t *testing.T) {
	w := openWAN(t, linktest.Conditions{MTU: 9000})
	near, far := datagrams(t, w)
	send(t, near, 1, 8000)
	receive(t, far, 1)
	if out, _ := w.Counters(); out.Packets != 1 || out.Bytes != 8000+header || out.Delivered != 1 {
		t.Errorf("8000 bytes took %+v", out)
	}
}

func TestTCPCarriesEveryByteOverABadPath(t *testing.T) {
	w := openWAN(t, linktest.Conditions{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond, Rate: 100e6,
		Loss: linktest.Bernoulli(0.01), Reorder: 0.05, Duplicate: 0.05})
	listener, err := w.Far.Listen(t.Context(), "tcp", w.Far.Address.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	content := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(content)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the dial says why
		}
		conn.Write(content)
		conn.Close()
	}()
	conn, err := w.Near.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	hash := sha256.New()
	if n, err := io.Copy(hash, conn); n != int64(len(content)) || err != nil || !bytes.Equal(hash.Sum(nil), sum(content)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, back := w.Counters(); back.Lost == 0 || back.Arrived <= back.Delivered {
		t.Errorf("nothing was lost or repeated: %+v", back)
	}
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func TestProcessesRunInTheirSide(t *testing.T) {
	w := openWAN(t, linktest.Conditions{})
	for _, side := range []*Side{w.Near, w.Far} {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "cat", "/proc/net/fib_trie", congestionFile)
		cmd.Stdout = &out
		if err := side.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		host, err := os.ReadFile(congestionFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{side.Address.String(), "127.0.0.1", string(host)} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in %s", side.Address, want, &out)
			}
		}
	}
	if err := w.Near.Start(exec.Command("/nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("start of nothing: %v", err)
	}
}

func TestProcessesOutliveTheThreadsOfOthers(t *testing.T) {
	w := openWAN(t, linktest.Conditions{})
	var started []*exec.Cmd
	ended := make(chan error, 20)
	for range cap(ended) {
		cmd := exec.Command("sleep", "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := w.Near.Start(cmd); err != nil {
			t.Fatal(err)
		}
		started = append(started, cmd)
		go func() { ended <- cmd.Wait() }()
	}
	defer func() {
		for _, cmd := range started {
			cmd.Process.Kill()
		}
		for range started {
			<-ended
		}
	}()
	for range 20 { // each takes some threads and gives them back
		other, err := Open(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ended:
		ended <- err // for those who wait
		t.Errorf("a process ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	require.Have(t, "netns", Available())
	before := held(t)
	w, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := w.Near.Dial(t.Context(), "udp", "10.98.0.2:1")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if during := held(t); during == before {
		t.Error("an open network holds nothing: this test does not see it")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Near.Dial(t.Context(), "udp", "10.98.0.2:1"); err == nil {
		t.Error("dialled in a closed network")
	}
	deadline := time.Now().Add(5 * time.Second) // threads end a moment after their goroutines
	for held(t) != before {
		if time.Now().After(deadline) {
			t.Fatalf("held before: %s, after: %s", before, held(t))
		}
		<-time.After(time.Millisecond)
	}
}

// held says what of a WAN this process has.
func held(t *testing.T) string {
	t.Helper()
	tun, files := 0, 0
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		switch name, _ := os.Readlink(fd); {
		case name == tunFile:
			tun++
		case strings.HasPrefix(name, "net:["):
			files++
		}
	}
	networks := make(map[string]bool)
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	hasty := 0
	for _, thread := range threads {
		if name, err := os.Readlink(thread); err == nil { // not of a thread that has ended
			networks[name] = true
		}
		id, err := strconv.Atoi(strings.Split(thread, "/")[4])
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(id, 0); err == nil && attr.Policy == unix.SCHED_RR {
			hasty++
		}
	}
	return fmt.Sprintf("%d devices, %d files of networks, threads in %d networks, %d of them real-time", tun, files, len(networks), hasty)
}

func TestErrorSaysWhatIsMissing(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{syscall.EPERM, "CAP_NET_ADMIN"},
		{&fs.PathError{Op: "open", Path: congestionFile, Err: syscall.EACCES}, "run it as root"},
		{syscall.ENOENT, "module tun"},
		{syscall.ENODEV, tunFile},
		{syscall.EINVAL, "network namespaces"},
	} {
		if err := explain(row.err); !errors.Is(err, ErrUnavailable) || !errors.Is(err, row.err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: %v, want %q in it", row.err, err, row.want)
		}
	}
	if err := explain(syscall.EMFILE); errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("too many open files: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	w := openWAN(t, linktest.Conditions{Loss: linktest.Bernoulli(1)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	conn, err := w.Near.Dial(ctx, "tcp", "10.98.0.2:80")
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v, %v", conn, err)
	}
}
