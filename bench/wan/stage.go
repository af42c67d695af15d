package wan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
	"github.com/ergoproxy/ergo/bench/wan/emulator"
)

// errLeftOut is matched by the error of a system that cannot be started, now or
// before. It was noted.
var errLeftOut = errors.New("left out")

// A play is what a stage is set for.
type play struct {
	system string
	course course
	sizes  []int64 // of bodies
	round  int

	cores  int  // of Ergo; 0: 1
	secure bool // TLS for clients: at Ergo's edge, and at the backend for those who ask it straight
}

// A stage is one system with its backend across a WAN, all of its own.
type stage struct {
	bench   *bench
	wan     *emulator.WAN
	places  peers.Places
	backend *peers.Backend
	chain   peers.Chain
	ergo    *peers.Ergo // nil: the system is another
}

// set returns a stage whose system is ready and whose WAN has the conditions of
// the course from then on. The error matches errLeftOut if the system cannot be had.
func (b *bench) set(ctx context.Context, p play) (*stage, error) {
	if b.out[p.system] {
		return nil, errLeftOut
	}
	s := &stage{bench: b}
	if err := s.setUp(ctx, p); err != nil {
		return nil, errors.Join(err, s.strike())
	}
	return s, nil
}

func (s *stage) setUp(ctx context.Context, p play) (err error) {
	s.wan, err = emulator.Open(emulator.Config{Out: p.course.calm(), Back: p.course.calm(), Seed: seed + uint64(p.round)})
	if err != nil {
		return err
	}
	s.places.Edge = peers.Place{Address: s.wan.Near.Address.String(), Inside: s.wan.Near.Inside}
	s.places.Core = peers.Place{Address: s.wan.Far.Address.String(), Inside: s.wan.Far.Inside}
	if err := s.startBackend(ctx, p); err != nil {
		return err
	}
	if err := s.startSystem(ctx, p); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.bench.out[p.system] = true
		s.bench.note("%s: left out: %v", p.system, err)
		return errLeftOut
	}
	s.wan.Set(p.course.conditions(), p.course.conditions())
	return nil
}

func (s *stage) startBackend(ctx context.Context, p play) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	backend, err := peers.NewBackend(s.bench.dir, self, p.sizes)
	if err != nil {
		return err
	}
	backend.Place, backend.Secure = s.places.Core, p.secure
	if err := backend.Start(ctx); err != nil {
		return err
	}
	s.backend = backend
	s.bench.result.Systems["backend"] = backend.Version()
	return nil
}

func (s *stage) startSystem(ctx context.Context, p play) (err error) {
	b := s.bench
	var chain peers.Chain
	switch p.system {
	case Ergo, Plain:
		c := peers.ErgoConfig{
			Edge: b.edge, Core: b.core, Certs: peers.WriteCertificates, Backend: s.backend.Address(),
			Places: s.places, Cores: p.cores, Site: p.secure,
		}
		if p.system == Plain {
			c.Repair = "off"
		}
		s.ergo, err = peers.NewErgo(b.dir, c)
		chain = s.ergo
	default:
		chain, err = s.places.New(p.system, b.dir, s.backend.Address())
	}
	if err != nil {
		return err
	}
	if err := chain.Start(ctx); err != nil {
		return err
	}
	s.chain = chain
	b.result.Systems[p.system] = chain.Version()
	return nil
}

// strike ends all that set started. It takes a stage that is not complete.
func (s *stage) strike() error {
	var errs []error
	if s.chain != nil {
		errs = append(errs, s.chain.Stop())
	}
	if s.backend != nil {
		errs = append(errs, s.backend.Stop())
	}
	if s.wan != nil {
		out, back := s.wan.Counters()
		s.bench.book(out)
		s.bench.book(back)
		errs = append(errs, s.wan.Close())
	}
	return errors.Join(errs...)
}

// book adds up how well the emulators did.
func (b *bench) book(c emulator.Counters) {
	d := &b.delivery
	d.Arrived += c.Arrived
	d.Late += c.Late
	d.Latest = max(d.Latest, c.Latest)
	d.Lateness += c.Lateness
	d.Refused += c.Refused
}

// target is a GET of a body of that size at the near edge.
func (s *stage) target(bytes int64) load.Target {
	return load.Target{
		Protocol: load.H1, Address: s.chain.Address(), Path: bodyPath(bytes), WantLength: bytes,
		Dial: func(ctx context.Context) (net.Conn, error) { return s.wan.Near.Dial(ctx, "tcp", s.chain.Address()) },
	}
}

// bodyPath is where the backend has a body of that size.
func bodyPath(bytes int64) string { return fmt.Sprintf("/bytes/%d", bytes) }
