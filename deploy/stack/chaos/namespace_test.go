//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ergoproxy/ergo/deploy/require"
)

// A namespace is a network of its own. It has no name and exists as long as a
// process in it does, so nothing of it can outlive the test. A nil namespace is
// that of the test.
type namespace struct {
	holder  int    // a process in it
	address string // on the link to the other one
}

// twoNamespaces returns two networks with a link between them.
func twoNamespaces(t *testing.T) (edgeSide, coreSide *namespace) {
	t.Helper()
	require.Have(t, "netns", missing())
	edgeSide = newNamespace(t, "10.99.0.1")
	coreSide = newNamespace(t, "10.99.0.2")
	edgeSide.run(t, "ip", "link", "add", "far", "type", "veth", "peer", "name", "far", "netns", strconv.Itoa(coreSide.holder))
	for _, n := range []*namespace{edgeSide, coreSide} {
		n.run(t, "ip", "address", "add", n.address+"/24", "dev", "far")
		n.run(t, "ip", "link", "set", "far", "up")
		n.run(t, "ip", "link", "set", "lo", "up")
		n.run(t, "nft", "add", "table", "inet", "chaos")
		n.run(t, "nft", "add", "chain", "inet", "chaos", "in", "{ type filter hook input priority 0; }")
		n.run(t, "nft", "add", "chain", "inet", "chaos", "out", "{ type filter hook output priority 0; }")
	}
	return edgeSide, coreSide
}

// missing says what keeps this machine from having namespaces, or nil.
func missing() error {
	if os.Getuid() != 0 {
		return errors.New("not root")
	}
	for _, program := range []string{"nsenter", "ip", "nft", "sleep"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := probe.Run(); err != nil {
		return fmt.Errorf("no new network: %w", err)
	}
	return nil
}

func newNamespace(t *testing.T, address string) *namespace {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		holder.Process.Kill()
		holder.Wait()
	})
	return &namespace{holder: holder.Process.Pid, address: address}
}

// enter returns the command line that runs a program inside.
func (n *namespace) enter(program string, args ...string) []string {
	line := append([]string{program}, args...)
	if n == nil {
		return line
	}
	return append([]string{"nsenter", "--net=" + n.path(), "--"}, line...)
}

func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.holder) }

// run runs a command inside.
func (n *namespace) run(t *testing.T, program string, args ...string) {
	t.Helper()
	line := n.enter(program, args...)
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
}

// block drops what the nft rule matches, arriving or leaving. unblock ends that.
func (n *namespace) block(t *testing.T, chain, match string) {
	t.Helper()
	n.run(t, "nft", "add rule inet chaos "+chain+" "+match+" drop")
}

func (n *namespace) unblock(t *testing.T) {
	t.Helper()
	n.run(t, "nft", "flush table inet chaos")
}

// dial connects from inside. The socket stays there, whoever uses it.
func (n *namespace) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if n == nil {
		return d.DialContext(ctx, network, address)
	}
	runtime.LockOSThread()
	// Unlocked only once the thread is back where it was: otherwise it ends
	// with its goroutine.
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(n.path())
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the namespace: %w", err)
	}
	conn, err := d.DialContext(ctx, network, address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, fmt.Errorf("leave the namespace: %w", back)
	}
	runtime.UnlockOSThread()
	return conn, err
}
