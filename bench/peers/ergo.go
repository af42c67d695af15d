package peers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ergoproxy/ergo/edge/auth/mint"
	"github.com/ergoproxy/ergo/shared/config"
)

// A CertDir writes certificates into dir: ca.crt, and with their keys edge-1.crt,
// core-1.crt and core-2.crt for the tunnel and site.crt for clients. The cores' and
// the site's are valid for 127.0.0.1.
type CertDir func(dir string) error

// An ErgoConfig says which Ergo to run.
type ErgoConfig struct {
	Edge, Core string  // the programs ergo-edge and ergo-core
	Certs      CertDir // must not be nil
	Backend    string  // host:port

	// Where the tiers run. The zero value is loopback.
	Places Places
	// Cores is how many the edge has tunnels to, up to 2. 0: 1.
	Cores int
	// Repair is what the link of the tunnel does about loss ("off"). Empty: Ergo's
	// default.
	Repair string

	// Site has the edge listen with TLS too, for HTTP/1.1, 2 and 3, and ask for a
	// token under /private/.
	Site bool

	// How long connections of clients, and lanes and connections to the backend,
	// may stay unused. 0: Ergo's defaults.
	ClientIdle, ForwardIdle time.Duration
}

// Ergo is the chain of ergo-edge and ergo-core.
type Ergo struct {
	*group
	config   ErgoConfig
	settings settings
	tiers    []Tier
	token    string
}

// A Tier is one of Ergo's processes.
type Tier struct {
	Name  string // "edge", "core" or "core-2"
	Admin string // host:port of its admin server, profiles included
	Place Place
}

// maxCores is how many cores a CertDir writes certificates for.
const maxCores = 2

// NewErgo returns the chain; its files go into a new directory below dir. The
// error matches ErrMissing if a program is not there.
func NewErgo(dir string, c ErgoConfig) (*Ergo, error) {
	for _, program := range []string{c.Edge, c.Core} {
		if !isProgram(program) {
			return nil, fmt.Errorf("ergo: %q: %w", program, ErrMissing)
		}
	}
	if c.Certs == nil {
		return nil, errors.New("ergo: nothing to issue certificates with")
	}
	if c.Cores == 0 {
		c.Cores = 1
	}
	if c.Cores < 1 || c.Cores > maxCores {
		return nil, fmt.Errorf("ergo: %d cores, want 1 to %d", c.Cores, maxCores)
	}
	own, err := os.MkdirTemp(dir, "ergo-")
	if err != nil {
		return nil, err
	}
	s := settings{Dir: own, Backend: c.Backend, Repair: c.Repair, ClientIdle: config.Duration(c.ClientIdle), ForwardIdle: config.Duration(c.ForwardIdle)}
	return &Ergo{group: newGroup(own), config: c, settings: s}, nil
}

// BuildErgo compiles both daemons from the module that contains the working
// directory and returns their paths in dir.
func BuildErgo(ctx context.Context, dir string) (edge, core string, err error) {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator),
		"github.com/ergoproxy/ergo/edge/cmd/ergo-edge", "github.com/ergoproxy/ergo/core/cmd/ergo-core")
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build ergo: %w\n%s", err, out)
	}
	return filepath.Join(dir, "ergo-edge"), filepath.Join(dir, "ergo-core"), nil
}

// Name implements Chain: "ergo", or "ergo-plain" if its link does not repair.
func (e *Ergo) Name() string {
	if e.config.Repair == "off" {
		return "ergo-plain"
	}
	return "ergo"
}

// Version implements Chain: the commit that the bench was built from.
func (e *Ergo) Version() string {
	version := "ergo"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value[:min(12, len(s.Value))]
			} else if s.Key == "vcs.modified" && s.Value == "true" {
				version += " with changes"
			}
		}
	}
	return version
}

// Address implements Chain.
func (e *Ergo) Address() string { return e.settings.Listen }

// SiteAddress is the host:port that takes HTTP/1.1, 2 and 3 over TLS, if the
// config asks for it.
func (e *Ergo) SiteAddress() string { return e.settings.Site }

// SiteTLS returns what a client needs to believe the edge's certificate.
func (e *Ergo) SiteTLS() (*tls.Config, error) {
	roots, err := readRoots(filepath.Join(e.settings.Dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("ergo: %w", err)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// Token returns what opens /private/, if the config asks for a site.
func (e *Ergo) Token() string { return e.token }

// Tiers returns all processes, the edge first.
func (e *Ergo) Tiers() []Tier { return e.tiers }

// Start implements Chain.
func (e *Ergo) Start(ctx context.Context) error {
	if err := e.findPorts(); err != nil {
		return err
	}
	if err := e.config.Certs(e.settings.Dir); err != nil {
		return fmt.Errorf("ergo: certificates: %w", err)
	}
	if e.config.Site {
		if err := e.writeToken(); err != nil {
			return fmt.Errorf("ergo: %w", err)
		}
	}
	var probes []probe
	for i := len(e.tiers) - 1; i >= 0; i-- { // the edge is ready when it has found its cores
		probes = append(probes, probe{e.tiers[i].Place, "http://" + e.tiers[i].Admin + "/readyz"})
	}
	err := e.begin(ctx, e.startTiers, append(probes, probe{e.config.Places.Edge, "http://" + e.settings.Listen + probePath})...)
	if err != nil {
		return fmt.Errorf("ergo: %w", err)
	}
	return nil
}

// findPorts finds an address for everything that the tiers listen on.
func (e *Ergo) findPorts() error {
	at, cores := e.config.Places, e.config.Cores
	spots := []spot{{at.Edge, loopback}, {at.Edge, loopback}, {at.Edge, loopback}}
	for range cores {
		spots = append(spots, spot{at.Core, loopback}, spot{at.Core, at.Core.host()})
	}
	ports, err := freePorts(spots...)
	if err != nil {
		return err
	}
	s := &e.settings
	e.tiers, s.Cores = []Tier{{"edge", ports[0], at.Edge}}, nil
	s.Listen = ports[1]
	if e.config.Site {
		s.Site = ports[2]
	}
	for i := range cores {
		name := "core"
		if i > 0 {
			name = fmt.Sprintf("core-%d", i+1)
		}
		e.tiers = append(e.tiers, Tier{name, ports[3+2*i], at.Core})
		s.Cores = append(s.Cores, ports[4+2*i])
	}
	return nil
}

// startTiers starts all processes, the edge last.
func (e *Ergo) startTiers() error {
	for i := len(e.tiers) - 1; i >= 0; i-- {
		tier, s, file, program := e.tiers[i], e.settings, "edge.yaml", e.config.Edge
		s.Admin = tier.Admin
		if i > 0 {
			s.Core, s.CoreName, file, program = s.Cores[i-1], fmt.Sprintf("core-%d", i), "core.yaml", e.config.Core
		}
		path, err := s.writeAs(file, tier.Name+".yaml")
		if err != nil {
			return err
		}
		if err := e.start(tier.Place, tier.Name, program, "--config", path); err != nil {
			return err
		}
	}
	return nil
}

// Restart ends the tier of that name as an operator would, with SIGTERM, and starts
// it again. It returns when the program runs, which is before it is ready. It must
// not be called together with CPU or RSS, which then forget what the first process
// has used.
func (e *Ergo) Restart(name string) error { return e.restart(name) }

// Admin returns what the admin server of a tier answers to GET path.
func (e *Ergo) Admin(ctx context.Context, tier Tier, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+tier.Admin+path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: tier.Place.transport()}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the %s: %w", tier.Name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the %s: get %s: %s", tier.Name, path, response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAdminAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the %s: get %s: %w", tier.Name, path, err)
	}
	return content, nil
}

// maxAdminAnswer is more than any profile or page of metrics.
const maxAdminAnswer = 64 << 20

// writeToken draws the secret that the edge checks tokens with, and signs one.
func (e *Ergo) writeToken() error {
	e.settings.TokenIssuer, e.settings.TokenFile = "bench", "token.secret"
	secret := make([]byte, 32)
	rand.Read(secret)
	secret = []byte(hex.EncodeToString(secret))
	var err error
	e.token, err = mint.HS256(secret, "", time.Now(), mint.Claims{Issuer: "bench", Subject: "bench", Audience: "bench", Lifetime: 48 * time.Hour})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.settings.Dir, e.settings.TokenFile), secret, 0o600)
}

// Profile writes a CPU profile of each tier over the given time, of at least a
// second, to prefix-edge.pprof and prefix-core.pprof. It returns when the time is over.
func (e *Ergo) Profile(ctx context.Context, prefix string, d time.Duration) error {
	results := make(chan error, len(e.tiers))
	for _, tier := range e.tiers {
		go func() { results <- e.profile(ctx, tier, prefix+"-"+tier.Name+".pprof", d) }()
	}
	var errs []error
	for range e.tiers {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

func (e *Ergo) profile(ctx context.Context, tier Tier, path string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	content, err := e.Admin(ctx, tier, "/debug/pprof/profile?seconds="+strconv.Itoa(max(1, int(d.Seconds()))))
	if err == nil {
		err = os.WriteFile(path, content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}
