package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ergoproxy/ergo/deploy/demo"
)

// probePath is what a chain is asked for until it answers; every backend has it.
const probePath = "/bytes/1"

// A Backend is what all chains stand in front of. It answers /bytes/N for the
// sizes it was made for. It is a Chain too: the one without tiers.
type Backend struct {
	// Place is where it runs, on the loopback there. Secure has it take HTTP/1.1 over
	// TLS too, at the address of the place; only nginx can. Both are set before Start.
	Place  Place
	Secure bool

	*group
	program  string
	demo     bool
	sizes    []int64
	settings settings
}

// NewBackend returns an nginx with static files of those sizes. If nginx is not
// installed it is the demo backend, run as `self backend --listen ADDRESS`.
func NewBackend(dir, self string, sizes []int64) (*Backend, error) {
	b := &Backend{sizes: sizes}
	program, err := find("nginx")
	if errors.Is(err, ErrMissing) {
		program, b.demo = self, true
	} else if err != nil {
		return nil, err
	}
	b.program = program
	return b, b.settle(dir)
}

// NewDemoBackend returns the demo backend, run as `self backend --listen ADDRESS`.
func NewDemoBackend(dir, self string) (*Backend, error) {
	b := &Backend{program: self, demo: true}
	return b, b.settle(dir)
}

// settle gives b a directory below dir.
func (b *Backend) settle(dir string) error {
	own, err := os.MkdirTemp(dir, "backend-")
	if err != nil {
		return err
	}
	b.settings.Dir, b.settings.Root = own, os.Geteuid() == 0
	b.group = newGroup(own)
	return nil
}

// Name implements Chain.
func (b *Backend) Name() string { return "backend" }

// Version implements Chain.
func (b *Backend) Version() string {
	if b.demo {
		return "demo backend"
	}
	return versionOf(context.Background(), b.program, "-v") + ", static files"
}

// Address implements Chain.
func (b *Backend) Address() string { return b.settings.Listen }

// SecureAddress is the host:port that takes HTTP/1.1 over TLS, if it is Secure.
func (b *Backend) SecureAddress() string { return b.settings.Secure }

// SecureTLS returns what a client needs to believe the certificate there.
func (b *Backend) SecureTLS() (*tls.Config, error) {
	roots, err := readRoots(filepath.Join(b.settings.Dir, "core.crt"))
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	return &tls.Config{RootCAs: roots, ServerName: coreName}, nil
}

// Start implements Chain.
func (b *Backend) Start(ctx context.Context) error {
	if b.Secure && b.demo {
		return fmt.Errorf("backend with TLS: nginx: %w", ErrMissing)
	}
	ports, err := freePorts(spot{b.Place, loopback}, spot{b.Place, b.Place.host()})
	if err != nil {
		return err
	}
	b.settings.Listen = ports[0]
	if b.Secure {
		b.settings.Secure = ports[1]
		if err := writeCertificate(b.settings.Dir); err != nil {
			return err
		}
	}
	err = b.begin(ctx, func() error {
		if b.demo {
			return b.start(b.Place, "backend", b.program, "backend", "--listen", b.settings.Listen)
		}
		for _, size := range append([]int64{1}, b.sizes...) {
			if err := b.writeFile(size); err != nil {
				return fmt.Errorf("write a file to serve: %w", err)
			}
		}
		path, err := b.settings.write("nginx-backend.conf")
		if err != nil {
			return err
		}
		return b.start(b.Place, "backend", b.program, "-e", "stderr", "-c", path)
	}, probe{b.Place, "http://" + b.settings.Listen + probePath})
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	return nil
}

// writeFile writes files/bytes/SIZE.
func (b *Backend) writeFile(size int64) error {
	dir := filepath.Join(b.settings.Dir, "files", "bytes")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, strconv.FormatInt(size, 10)))
	if err != nil {
		return err
	}
	if _, err := demo.NewPattern(size).WriteTo(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
