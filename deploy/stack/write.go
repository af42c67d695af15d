package stack

import (
	"errors"
	"fmt"
	"net"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/edge"
)

// Write makes the files of an installation in o.Dir, certificates included, and
// runs nothing: ergo-edge and ergo-core run NAME.yaml, where NAME is edge-1 and so
// on. Since nothing is opened, every port must be given, and o.Backends too.
func Write(o Options) error {
	o = o.withDefaults()
	if len(o.Backends) == 0 {
		return errors.New("write a stack: no backends are given")
	}
	for _, address := range []string{o.Listen, o.Admin, o.Tunnel} {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "0" {
			return fmt.Errorf("write a stack: address %q: want host:port with a port of its own", address)
		}
	}
	p, err := layOut(o)
	if err != nil {
		return err
	}
	s := &Stack{Dir: o.Dir}
	if err := s.writePKI(p); err != nil {
		return err
	}
	if err := s.writeToken(p); err != nil {
		return err
	}
	for _, tier := range p.CorePlans {
		render := func() (string, error) { return p.render(coreTemplate, tier) }
		if err := s.configure(p, tier.Name, render, new(core.Config)); err != nil {
			return err
		}
	}
	for _, tier := range p.EdgePlans {
		render := func() (string, error) { return p.render(edgeTemplate, tier) }
		if err := s.configure(p, tier.Name, render, new(edge.Config)); err != nil {
			return err
		}
	}
	return nil
}
