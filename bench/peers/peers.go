// Package peers runs the systems that the bench compares: chains of two tiers, with
// TLS between the tiers, in front of one backend; on loopback, or each tier in a
// Place of its own.
//
//	load ─HTTP/1.1 in clear─▶ edge tier ─TLS─▶ core tier ─HTTP/1.1 in clear─▶ backend
//
//	nginx       HTTP/1.1 between; 2 workers each, access log on at the edge, 256 keep-alive connections to the next hop
//	haproxy-h1  HTTP/1.1 between; 2 threads each, no log
//	haproxy-h2  HTTP/2 between; 2 threads each, no log
//	ergo        the tunnel between; ergo-edge and ergo-core with the smallest config that works
//
// Every peer checks the certificate of its core tier. What is not named here is
// left as the program has it by default.
//
// The backend is an nginx that serves static files, or the demo backend in a
// process of its own where nginx is not installed.
//
// Processes get free ports and a directory for config and logs.
// They end with Stop, and with the bench if that is killed. A chain that does
// not start says what its processes logged. Linux only: CPU time and memory are
// read from /proc. A Chain is used by one goroutine, besides CPU and RSS, which
// any may call while it runs.
package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Chain is something that answers requests and costs CPU time.
type Chain interface {
	Name() string
	// Version says what runs: "nginx/1.22.1".
	Version() string
	// Start returns when requests can be answered. After an error nothing runs.
	Start(ctx context.Context) error
	// Address is the host:port that takes HTTP/1.1 in clear, from clients in the place
	// of the edge tier.
	Address() string
	// CPU is the user and system time of all processes since they started.
	CPU() (time.Duration, error)
	// RSS is the resident memory of all processes, in bytes. Shared pages count
	// in each process.
	RSS() (int64, error)
	Stop() error
}

// ErrMissing is matched by the error of a constructor whose program is not
// installed.
var ErrMissing = errors.New("not installed")

// Peers returns the names that New takes.
func Peers() []string { return []string{"nginx", "haproxy-h1", "haproxy-h2"} }

// New returns the peer of that name on loopback, in front of backend (host:port).
// Its files go into a new directory below dir. The error matches ErrMissing if the
// peer is not installed.
func New(name, dir, backend string) (Chain, error) { return Places{}.New(name, dir, backend) }

// New is the New of the package, with the tiers in these places. The backend's
// address is that in the core's.
func (at Places) New(name, dir, backend string) (Chain, error) {
	s := settings{Backend: backend}
	switch name {
	case "nginx":
		return at.newNginx(dir, s)
	case "haproxy-h1":
		s.ALPN = "http/1.1"
		return at.newHAProxy(name, dir, s)
	case "haproxy-h2":
		s.ALPN = "h2"
		return at.newHAProxy(name, dir, s)
	default:
		return nil, fmt.Errorf("peer %q, want one of %v", name, Peers())
	}
}

// Installed returns nil if a program is there, and otherwise an error that matches
// ErrMissing.
func Installed(program string) error {
	_, err := find(program)
	return err
}

// find returns the path of a program, also if /usr/sbin is not in PATH.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if path := filepath.Join("/usr/sbin", program); isProgram(path) {
		return path, nil
	}
	return "", fmt.Errorf("%s: %w", program, ErrMissing)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// startTimeout is how long a chain may take until it answers.
const startTimeout = 20 * time.Second

// A probe is a URL that answers 200 when a chain is ready, for those in its place.
type probe struct {
	place Place
	url   string
}

// awaitOK asks until the answer is 200, the group loses a process, or the start has
// taken too long.
func awaitOK(ctx context.Context, p probe, g *group) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: p.place.transport(), Timeout: 2 * time.Second}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := getOK(ctx, client, p.url)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-g.died:
			return g.explain(errors.New("a process ended"))
		case <-ctx.Done():
			return g.explain(fmt.Errorf("not ready: %w", err))
		}
	}
}

func getOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
