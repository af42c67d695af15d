package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stopGrace is how long a process may take to end by itself.
	stopGrace = 5 * time.Second
	// logTail is how much of a process's log an error shows.
	logTail = 2000
)

// A group is the processes of one chain. They are started one by one, and end
// together.
type group struct {
	dir       string // holds a log for each process
	processes []*process
	died      chan struct{} // closed when a process ends that nobody stops
	once      sync.Once
}

type process struct {
	place   Place
	name    string
	log     string
	cmd     *exec.Cmd
	stopped atomic.Bool   // it may end
	ended   chan struct{} // closed when it was waited for
}

func newGroup(dir string) *group { return &group{dir: dir, died: make(chan struct{})} }

// start starts a program; its output goes into a log.
func (g *group) start(at Place, name, program string, args ...string) error {
	p, err := g.launch(at, name, exec.Command(program, args...))
	if err != nil {
		return err
	}
	g.processes = append(g.processes, p)
	return nil
}

// launch starts cmd. A log that is there already is continued.
func (g *group) launch(at Place, name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(filepath.Join(g.dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p := &process{place: at, name: name, log: log.Name(), cmd: cmd, ended: make(chan struct{})}
	cmd.Dir = g.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	if err := at.inside(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process, which stop waits for
		cmd.Wait()
		close(p.ended)
		if !p.stopped.Load() {
			g.once.Do(func() { close(g.died) })
		}
	}()
	return p, nil
}

// restart stops the process of that name and starts its program again. It returns
// when the program runs, which may be long before it serves.
func (g *group) restart(name string) error {
	for i, p := range g.processes {
		if p.name != name {
			continue
		}
		if err := p.stop(); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
		again, err := g.launch(p.place, p.name, exec.Command(p.cmd.Path, p.cmd.Args[1:]...))
		if err != nil {
			return fmt.Errorf("restart: %w", err)
		}
		g.processes[i] = again
		return nil
	}
	return fmt.Errorf("restart %s: no such process", name)
}

// stop ends all processes, the last started first, and returns an error if one
// had ended before.
func (g *group) stop() error {
	var errs []error
	select {
	case <-g.died:
		if len(g.processes) > 0 {
			errs = append(errs, g.explain(errors.New("a process ended before it was stopped")))
		}
	default:
	}
	for i := len(g.processes) - 1; i >= 0; i-- {
		if err := g.processes[i].stop(); err != nil {
			errs = append(errs, err)
		}
	}
	g.processes = nil
	return errors.Join(errs...)
}

func (p *process) stop() error {
	p.stopped.Store(true)
	_ = terminate(p.cmd.Process.Pid) // fails if it has ended already
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.ended:
		_ = killGroup(p.cmd.Process.Pid) // what it may have left behind
		return nil
	case <-timer.C:
	}
	if err := killGroup(p.cmd.Process.Pid); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	return fmt.Errorf("%s did not end within %s and was killed", p.name, stopGrace)
}

// explain adds the ends of the logs to err.
func (g *group) explain(err error) error {
	var text strings.Builder
	for _, p := range g.processes {
		state := "runs"
		select {
		case <-p.ended:
			state = p.cmd.ProcessState.String()
		default:
		}
		content, readErr := os.ReadFile(p.log)
		if readErr != nil {
			content = []byte(readErr.Error())
		}
		content = content[max(0, len(content)-logTail):]
		fmt.Fprintf(&text, "\n--- %s (%s), end of %s\n%s", p.name, state, p.log, content)
	}
	return fmt.Errorf("%w%s", err, text.String())
}

// usage sums up CPU time and memory of all processes and their children.
func (g *group) usage() (usage, error) {
	var total usage
	for _, p := range g.processes {
		u, err := treeUsage(p.cmd.Process.Pid)
		if err != nil {
			return usage{}, fmt.Errorf("usage of %s: %w", p.name, err)
		}
		total.cpu += u.cpu
		total.rss += u.rss
	}
	return total, nil
}

// CPU implements Chain for all that embed a group.
func (g *group) CPU() (time.Duration, error) { u, err := g.usage(); return u.cpu, err }

// RSS implements Chain for all that embed a group.
func (g *group) RSS() (int64, error) { u, err := g.usage(); return u.rss, err }

// Stop implements Chain for all that embed a group.
func (g *group) Stop() error { return g.stop() }

// begin starts what start does and waits until each of probes is answered, one
// after the other; after an error all is stopped again.
func (g *group) begin(ctx context.Context, start func() error, probes ...probe) error {
	err := start()
	for _, p := range probes {
		if err == nil {
			err = awaitOK(ctx, p, g)
		}
	}
	if err != nil {
		_ = g.stop() // the first error says more
	}
	return err
}

// A usage is what processes have used.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
}

// versionOf returns the first line of what a program says about itself.
func versionOf(ctx context.Context, program, flag string) string {
	out, err := exec.CommandContext(ctx, program, flag).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
