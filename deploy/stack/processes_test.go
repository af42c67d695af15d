package stack_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ergoproxy/ergo/deploy/stack"
)

// binaries builds both daemons, once.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "ergo-matrix"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "../../edge/cmd/ergo-edge", "../../core/cmd/ergo-core").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built.Load() {
		dir, _ := binaries()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// A process is one tier.
type process struct {
	cmd    *exec.Cmd
	output *bytes.Buffer
	base   int64 // resident bytes before the test
}

// A pair is an edge and a core as processes of their own.
type pair struct {
	*installation
	edge, core *process
	clear, tls string // host:port of the edge
}

// startPair starts both daemons with the configuration of the matrix, which change
// may edit.
func startPair(t *testing.T, carrier string, change func(tier, yaml string) string) *pair {
	t.Helper()
	built.Store(true)
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	in := prepare(t, carrier)
	clear, admin, tunnel := freePort(t, 0, 363), freePort(t, 0, 1), freePort(t, 0)
	o := freePorts(in.Dir, carrier)
	o.Listen, o.Admin, o.Tunnel = local(clear), local(admin), local(tunnel)
	o.Backends = []string{"http://127.0.0.1:1"}
	o.Change = func(tier, yaml string) string { return change(tier, in.configure(tier, yaml)) }
	if err := stack.Write(o); err != nil {
		t.Fatal(err)
	}
	in.CA, err = os.ReadFile(filepath.Join(in.Dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	in.book = newBook(o.AccessLog, in.coreLogs(1)...)
	p := &pair{installation: in, clear: local(clear), tls: local(clear + 363)}
	p.core = startProcess(t, filepath.Join(dir, "ergo-core"), in.ConfigPath("core-1"))
	p.edge = startProcess(t, filepath.Join(dir, "ergo-edge"), in.ConfigPath("edge-1"))
	eventually(t, "the edge is ready", func() bool {
		res, err := http.Get("http://" + local(admin) + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	return p
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePort returns a port that is free, for TCP and UDP, and so are those that
// stand the given numbers above it.
func freePort(t testing.TB, above ...int) (port int) {
	t.Helper()
	eventually(t, "free ports are found", func() bool {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return false
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
		for _, n := range above {
			l, err := net.Listen("tcp", local(port+n))
			if err != nil {
				return false
			}
			l.Close()
			u, err := net.ListenPacket("udp", local(port+n))
			if err != nil {
				return false
			}
			u.Close()
		}
		return true
	})
	return port
}

// startProcess runs a daemon until the test ends; then it must drain.
func startProcess(t *testing.T, binary, config string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, "--config", config), output: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(binary), err, p.output)
		} else if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(binary), p.output)
		}
	})
	return p
}

// cell is like newCell, for the processes.
func (p *pair) cell(t testing.TB, client, backend string) *cell {
	c := &cell{in: p.installation, client: client, backend: backend, b: p.backends[backend], url: "https://" + p.tls}
	if client == "h1" || client == "h2c" {
		c.url = "http://" + p.clear
	}
	c.http = &http.Client{Transport: transport(t, client, p.CA)}
	return c
}

var memoryLine = regexp.MustCompile(`(?m)^(VmRSS|VmHWM):\s+(\d+) kB$`)

// memory returns the resident bytes, now and at most since the last mark.
func (p *process) memory(t testing.TB) (now, most int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range memoryLine.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.ParseInt(m[2], 10, 64)
		if m[1] == "VmRSS" {
			now = n << 10
		} else {
			most = n << 10
		}
	}
	return now, most
}

// mark makes what is resident now the base that check compares with.
func (p *process) mark(t testing.TB) {
	t.Helper()
	// 5 resets VmHWM, see proc_pid_clear_refs(5).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	p.base, _ = p.memory(t)
}

// maxGrowth is how much more than at its start a tier may use.
const maxGrowth = 64 << 20

// check fails the test if the process has grown too much since the mark.
func (p *process) check(t testing.TB, during string, limit int64) {
	t.Helper()
	_, most := p.memory(t)
	name := strings.TrimPrefix(filepath.Base(p.cmd.Path), "ergo-")
	t.Logf("%s, %s: %d MiB at the start, %d MiB at most", during, name, p.base>>20, most>>20)
	if most-p.base > limit {
		t.Errorf("%s: %s grew by %d MiB, want at most %d", during, name, (most-p.base)>>20, limit>>20)
	}
}
