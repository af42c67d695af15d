package l2

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Sealer keeps values from those who can read or change what is in Redis.
type Sealer interface {
	// Seal appends plaintext, sealed for context, and at most 512 bytes longer, to
	// dst.
	Seal(dst, plaintext, context []byte) []byte
	// Open appends the plaintext of what was sealed for the same context to dst.
	Open(dst, sealed, context []byte) ([]byte, error)
	// Names appends the names to dst under which data may be stored; it is stored
	// under the first. They say nothing about data. While keys are rotated there are
	// several.
	Names(dst [][32]byte, data []byte) [][32]byte
}

// Deps is what a Store needs of others.
type Deps struct {
	Sealer Sealer

	// UnknownKey is what Sealer.Open's error matches, by errors.Is, when it does not
	// have the key.
	UnknownKey error

	// Changed, if not nil, is called when the server begins (true) or ceases (false)
	// to be used, and why. It is called by Run, one call at a time, and holds up
	// nothing but probes.
	Changed func(up bool, cause error)

	// Now is the clock, time.Now if it is nil.
	Now func() time.Time
}

// A Store is the second level as one core sees it.
type Store struct {
	cfg   Config
	deps  Deps
	at    endpoint
	tls   *tls.Config
	codec *codec

	client      *redis.Client
	epochKey    string
	purgesKey   string
	maxSealed   int64 // bytes of a sealed value
	breaker     *breaker
	tripped     chan struct{} // of 1: the breaker has opened
	stopped     chan struct{} // closed when Run ends
	lookups     chan *lookup
	writes      chan write
	lastRefusal atomic.Pointer[error]
	stats       Stats
}

// New returns a Store. It does not connect; Run does.
func New(cfg Config, deps Deps) (*Store, error) {
	if deps.Sealer == nil || deps.UnknownKey == nil {
		return nil, errors.New("l2 needs a Sealer and the error of an unknown key")
	}
	at, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	c, err := newCodec(int(cfg.MaxValue), int(cfg.CompressFrom))
	if err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	s := &Store{
		cfg:       cfg,
		deps:      deps,
		at:        at,
		codec:     c,
		epochKey:  cfg.Prefix + "epoch",
		purgesKey: cfg.Prefix + "purges",
		maxSealed: int64(cfg.MaxValue) + maxSealOverhead,
		breaker:   newBreaker(cfg.Breaker.Failures, cfg.Breaker.CoolDown.Std()),
		tripped:   make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		lookups:   make(chan *lookup, cfg.MaxWaiting),
		writes:    make(chan write, cfg.Queue.Entries),
	}
	if s.tls, err = newTLS(cfg.TLS, at); err != nil {
		return nil, err
	}
	s.client = s.newClient(cfg.Connections + spareConnections)
	return s, nil
}

// Run serves Gets and sends writes until ctx ends; writes that still wait then are
// dropped. It may be called once, and returns nil.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range s.cfg.Connections {
		wg.Go(func() { s.read(ctx) })
	}
	wg.Go(func() { s.write(ctx) })
	wg.Go(func() { s.probe(ctx) })
	<-ctx.Done()
	close(s.stopped)
	// Whoever waits for Redis is woken by this: go-redis looks at deadlines, but
	// not whether a context was cancelled.
	_ = s.client.Close()
	wg.Wait()
	return nil
}

// Stats returns what s counts.
func (s *Store) Stats() *Stats { return &s.stats }

// Status is the state of a Store, for people.
type Status struct {
	Up      bool  // Gets and Puts are made
	Cause   error // why not, nil if it is not known yet
	Refusal error // the last write that Redis refused, nil if there was none
}

// Status returns the state of s.
func (s *Store) Status() Status {
	st := Status{Up: s.breaker.closed()}
	if !st.Up {
		st.Cause = s.breaker.lastCause()
	}
	if refusal := s.lastRefusal.Load(); refusal != nil {
		st.Refusal = *refusal
	}
	return st
}

// failed notes an operation that Redis did not do in time.
func (s *Store) failed(cause error) {
	if !s.breaker.failed(cause, s.deps.Now()) {
		return
	}
	s.stats.Opened.Add(1)
	select {
	case s.tripped <- struct{}{}:
	default: // it is told already
	}
}

// names returns the names of the keys in Redis under which the value of key may be.
func (s *Store) names(key []byte) []string {
	var room [2][32]byte
	hashes := s.deps.Sealer.Names(room[:0], key)
	names := make([]string, len(hashes))
	for i, h := range hashes {
		names[i] = s.cfg.Prefix + "v1:" + base64.RawURLEncoding.EncodeToString(h[:])
	}
	return names
}

// valueContext returns what the value of key is sealed for.
func valueContext(key []byte) []byte { return append([]byte("ergo l2 value 1\x00"), key...) }
