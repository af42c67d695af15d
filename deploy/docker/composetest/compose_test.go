// Package composetest runs docker-compose.yml: the whole of Ergo in containers,
// while each of them is killed and started again.
package composetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/require"
)

// root is the top of the repository.
const root = "../../.."

var (
	edges    = []string{"edge-1", "edge-2"}
	cores    = []string{"core-1", "core-2"}
	backends = []string{"backend-1", "backend-2", "backend-3"}
	address  = map[string]string{"edge-1": "127.0.0.1:8080", "edge-2": "127.0.0.1:8081"}
)

// missing says why the containers cannot be run here. They are not run unasked:
// they take the ports of the compose file, and two minutes.
func missing() error {
	if !strings.Contains(os.Getenv("ERGO_REQUIRE"), "docker") {
		return errors.New("ERGO_REQUIRE=docker runs the containers, which takes ports 8080, 8081, 8443 and 8444")
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		return fmt.Errorf("docker version: %w: %s", err, out)
	}
	return nil
}

// A project is the stack of one test.
type project struct {
	t   *testing.T
	env []string
	cmd []string // docker compose, whichever there is
}

func newProject(t *testing.T) *project {
	name := fmt.Sprintf("ergo-test-%d", os.Getpid())
	p := &project{t: t, cmd: []string{"docker-compose"}, env: append(os.Environ(),
		"COMPOSE_PROJECT_NAME="+name, "ERGO_IMAGE="+name+":local", "ERGO_BUILD=prebuilt")}
	if exec.Command("docker", "compose", "version").Run() == nil {
		p.cmd = []string{"docker", "compose"}
	}
	t.Cleanup(func() {
		p.try("down", "--volumes", "--remove-orphans", "--timeout", "5")
		exec.Command("docker", "image", "rm", "--force", name+":local").Run()
	})
	return p
}

func (p *project) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir, c.Env = root, p.env
	return c
}

// try runs a compose command and returns what it printed.
func (p *project) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := p.command(ctx, append(p.cmd, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compose %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (p *project) compose(args ...string) string {
	p.t.Helper()
	out, err := p.try(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *project) container(service string) string {
	return strings.TrimSpace(p.compose("ps", "-q", service))
}

// healthy waits until Docker calls the services healthy.
func (p *project) healthy(services ...string) {
	p.t.Helper()
	for _, service := range services {
		id := p.container(service)
		p.eventually(service+" healthy", func() bool {
			out, err := exec.Command("docker", "inspect", "--format", "{{.State.Health.Status}}", id).Output()
			return err == nil && strings.TrimSpace(string(out)) == "healthy"
		})
	}
}

// eventually waits for a condition, at most two minutes.
func (p *project) eventually(what string, holds func() bool) {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("not %s after two minutes\n%s", what, p.compose("logs", "--no-color", "--tail=30"))
		}
	}
}

// A caller sends GETs to one edge, one after another, while it is not paused.
type caller struct {
	edge   string
	client http.Client

	mu     sync.Mutex // held during a GET; guards what follows
	done   int
	failed []string
}

// once sends a GET. Any answer but a 200 is a failure.
func (c *caller) once() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	res, err := c.client.Get("http://" + address[c.edge] + "/headers?edge=" + c.edge)
	if err != nil {
		c.failed = append(c.failed, time.Now().Format(time.TimeOnly)+" "+err.Error())
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || err != nil {
		c.failed = append(c.failed, fmt.Sprintf("%s %s %v %s %.200s", time.Now().Format(time.TimeOnly), res.Status, err, res.Header.Get("X-Request-Id"), body))
	}
}

func (c *caller) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *caller) run(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.once()
		}
	}
}

func TestEveryContainerMayDie(t *testing.T) {
	require.Have(t, "docker", missing())
	p := newProject(t)
	if out, err := p.command(t.Context(), "go", "run", "./deploy/docker/prebuild").CombinedOutput(); err != nil {
		t.Fatalf("prebuild: %v\n%s", err, out)
	}
	p.compose("build", "pki")
	p.compose("up", "-d")
	p.healthy(slices.Concat(edges, cores, backends)...)

	ctx, stop := context.WithCancel(t.Context())
	callers := make(map[string]*caller)
	var running sync.WaitGroup
	for _, edge := range edges {
		c := &caller{edge: edge, client: http.Client{Timeout: 20 * time.Second}}
		callers[edge] = c
		running.Go(func() { c.run(ctx) })
	}
	var kills []time.Time
	for _, service := range slices.Concat(cores, backends, edges) {
		kills = append(kills, p.killAndStart(service, callers))
	}
	stop()
	running.Wait()
	for _, c := range callers {
		if len(c.failed) > 0 {
			t.Errorf("%s: %d of %d GETs failed while something else was dead:\n%s", c.edge, len(c.failed), c.done, strings.Join(c.failed, "\n"))
		}
		t.Logf("%s: %d GETs, %d failed", c.edge, c.done, len(c.failed))
	}
	p.compareLogs(kills)
}

// killAndStart kills a service, lets the living edges be called for a while, and
// starts it again. An edge is not called while it is dead. It returns when it was
// killed.
func (p *project) killAndStart(service string, callers map[string]*caller) time.Time {
	p.t.Helper()
	paused := callers[service] // an edge, or nil
	if paused != nil {
		paused.mu.Lock()
	}
	at := time.Now()
	p.compose("kill", service)
	p.letPass(40, paused, callers)
	p.compose("start", service)
	p.healthy(service)
	if paused != nil {
		paused.client.CloseIdleConnections()
		paused.mu.Unlock()
	}
	p.letPass(40, nil, callers)
	return at
}

// letPass waits until n more GETs have been made through each edge but one.
func (p *project) letPass(n int, but *caller, callers map[string]*caller) {
	p.t.Helper()
	for _, c := range callers {
		if c == but {
			continue
		}
		from := c.count()
		p.eventually(fmt.Sprintf("%d GETs through %s", n, c.edge), func() bool { return c.count() >= from+n })
	}
}

// line is what the two tiers' access logs have in common.
type line struct {
	Time     time.Time `json:"time"`
	Exchange string    `json:"exchange"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Status   int       `json:"status"`
	BytesOut int64     `json:"bytes_out"`
	Core     string    `json:"core"`
	Route    string    `json:"route"`
	Backend  string    `json:"backend"`
	Trace    string    `json:"trace"`
}

// lines reads the access log of a service, which is what it wrote to stdout.
func (p *project) lines(service string) map[string]line {
	p.t.Helper()
	var stdout bytes.Buffer
	c := exec.Command("docker", "logs", p.container(service))
	c.Stdout = &stdout
	if err := c.Run(); err != nil {
		p.t.Fatalf("docker logs %s: %v", service, err)
	}
	all := make(map[string]line)
	for s := bufio.NewScanner(&stdout); s.Scan(); {
		var l line
		if json.Unmarshal(s.Bytes(), &l) == nil && l.Exchange != "" {
			all[l.Exchange] = l
		}
	}
	return all
}

// lost is how long before a kill a line may have been under way.
const lost = 2 * time.Second

// compareLogs checks that both tiers tell the same story of every exchange that
// was answered, but for lines that a killed container did not get to write.
func (p *project) compareLogs(kills []time.Time) {
	p.t.Helper()
	told := make(map[string]line)
	for _, core := range cores {
		for id, l := range p.lines(core) {
			if l.Status == http.StatusOK {
				told[id] = l
			}
		}
	}
	same, absent := 0, 0
	for _, edge := range edges {
		for id, l := range p.lines(edge) {
			nearKill := slices.ContainsFunc(kills, func(at time.Time) bool { return l.Time.After(at.Add(-lost)) && l.Time.Before(at.Add(lost)) })
			if l.Status != http.StatusOK || nearKill {
				continue
			}
			core, ok := told[id]
			core.Time, l.Time = time.Time{}, time.Time{}
			switch {
			case !ok:
				absent++
				p.t.Errorf("%s logged %s, no core did: %+v", edge, id, l)
			case core != l:
				p.t.Errorf("the tiers differ about %s:\nedge %+v\ncore %+v", id, l, core)
			default:
				same++
			}
			if absent > 10 {
				p.t.Fatal("and so on")
			}
		}
	}
	if same < 100 {
		p.t.Errorf("only %d exchanges are in the logs of both tiers, want at least 100", same)
	}
	p.t.Logf("%d exchanges are told alike by both tiers", same)
}
