//go:build linux

package chaos

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A process is a daemon or a backend that a test starts and ends as it likes. It
// belongs to the goroutine of the test, and dies with the test's process.
type process struct {
	name string
	dir  string   // holds what it writes: NAME.out and NAME.log
	argv []string // "nsenter" and so on in front, where it lives in a namespace
	env  []string

	cmd   *exec.Cmd
	ended chan struct{} // closed when the running one has been waited for
}

func (p *process) output() string { return filepath.Join(p.dir, p.name+".out") }
func (p *process) log() string    { return filepath.Join(p.dir, p.name+".log") }

// start runs the program. What it writes is appended to what it wrote before.
func (p *process) start(t *testing.T) {
	t.Helper()
	if p.running() {
		t.Fatalf("%s runs already", p.name)
	}
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, log := p.open(t, p.output()), p.open(t, p.log())
	defer out.Close()
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	ended := make(chan struct{})
	cmd := p.cmd
	go func() { // ends with the process, which end waits for
		cmd.Wait()
		close(ended)
	}()
	p.ended = ended
}

func (p *process) open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (p *process) running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends sig to the process, which must be running.
func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if !p.running() {
		t.Fatalf("%s has ended by itself: %s\n%s", p.name, p.cmd.ProcessState, tail(p.log()))
	}
	if err := syscall.Kill(p.cmd.Process.Pid, sig); err != nil {
		t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill ends the process without a chance to say anything.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// drain ends the process with SIGTERM and returns how long it took. It must exit
// with 0.
func (p *process) drain(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	p.signal(t, syscall.SIGTERM)
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		t.Fatalf("%s has not drained after %s\n%s", p.name, drainLimit, tail(p.log()))
	}
	if !p.cmd.ProcessState.Success() {
		t.Fatalf("%s: drain ended with %s\n%s", p.name, p.cmd.ProcessState, tail(p.log()))
	}
	return time.Since(start)
}

// drainLimit is well below the grace, so that a drain that waits for something
// that never comes is found out.
const drainLimit = 15 * time.Second

// end ends the process at the end of the test.
func (p *process) end() {
	if p.running() {
		syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// tail returns the end of a file for an error message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// eventually asks done until it returns nil, which it must within the limit, and
// returns how long that took.
func eventually(t *testing.T, limit time.Duration, what string, done func() error) time.Duration {
	t.Helper()
	start := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := done()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-ticker.C
	}
}
