package peers

import (
	"context"
	"fmt"
	"os"
)

// A pair is a chain of two processes that each take one config file.
type pair struct {
	*group
	name     string
	program  string
	flags    []string // before the config file
	files    [2]string
	version  string // the flag that asks for it
	at       Places
	settings settings
}

func (at Places) newNginx(dir string, s settings) (*pair, error) {
	return newPair(dir, "nginx", s, pair{
		at:   at,
		name: "nginx", flags: []string{"-e", "stderr", "-c"}, version: "-v",
		files: [2]string{"nginx-core.conf", "nginx-edge.conf"},
	})
}

func (at Places) newHAProxy(name, dir string, s settings) (*pair, error) {
	return newPair(dir, "haproxy", s, pair{
		at:   at,
		name: name, flags: []string{"-db", "-f"}, version: "-v",
		files: [2]string{"haproxy-core.cfg", "haproxy-edge.cfg"},
	})
}

func newPair(dir, program string, s settings, p pair) (*pair, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	if s.Dir, err = os.MkdirTemp(dir, p.name+"-"); err != nil {
		return nil, err
	}
	s.Root, s.CoreName = os.Geteuid() == 0, coreName
	p.program, p.settings, p.group = path, s, newGroup(s.Dir)
	return &p, nil
}

// Name implements Chain.
func (p *pair) Name() string { return p.name }

// Version implements Chain.
func (p *pair) Version() string { return versionOf(context.Background(), p.program, p.version) }

// Address implements Chain.
func (p *pair) Address() string { return p.settings.Listen }

// Start implements Chain.
func (p *pair) Start(ctx context.Context) error {
	ports, err := freePorts(spot{p.at.Core, p.at.Core.host()}, spot{p.at.Edge, loopback})
	if err != nil {
		return err
	}
	p.settings.Core, p.settings.Listen = ports[0], ports[1]
	if err := writeCertificate(p.settings.Dir); err != nil {
		return err
	}
	err = p.begin(ctx, func() error {
		for i, tier := range []struct {
			name  string
			place Place
		}{{"core", p.at.Core}, {"edge", p.at.Edge}} {
			path, err := p.settings.write(p.files[i])
			if err != nil {
				return err
			}
			if err := p.start(tier.place, tier.name, p.program, append(p.flags[:len(p.flags):len(p.flags)], path)...); err != nil {
				return err
			}
		}
		return nil
	}, probe{p.at.Edge, "http://" + p.settings.Listen + probePath})
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
