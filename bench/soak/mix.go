package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ergoproxy/ergo/bench/load"
	"github.com/ergoproxy/ergo/bench/peers"
)

const (
	// maxUnderWay bounds the operations at the same time; one that finds no place
	// is skipped, and counted.
	maxUnderWay = 256
	// operationTimeout is far above what any operation takes.
	operationTimeout = 30 * time.Second
)

// A client speaks one protocol with the edge and keeps its connections, as
// browsers do. It is safe for concurrent use.
type client struct {
	entrance
	http  *http.Client
	token string
}

// An Outcome is what came of one kind of operation.
type Outcome struct {
	Operation string `json:"operation"`
	Done      int64  `json:"done"`
	Failed    int64  `json:"failed"`
	Failure   string `json:"failure,omitempty"` // of the first that failed
}

// A book holds the outcomes of a mix. It is safe for concurrent use.
type book struct {
	mu       sync.Mutex // guards the fields below
	outcomes []Outcome
	skipped  int64
}

// newBook returns a book with a page for each operation, in their order.
func newBook() *book {
	b := &book{}
	for _, op := range operations() {
		b.outcomes = append(b.outcomes, Outcome{Operation: op.name})
	}
	return b
}

// add notes what came of an operation.
func (b *book) add(name string, failure string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &b.outcomes[slices.IndexFunc(b.outcomes, func(o Outcome) bool { return o.Operation == name })]
	switch {
	case failure == "":
		o.Done++
	case o.Failed == 0:
		o.Failed, o.Failure = 1, failure
	default:
		o.Failed++
	}
}

func (b *book) skip() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.skipped++
}

// A mix is the load of clients of all protocols.
type mix struct {
	ergo *peers.Ergo
	rate float64
	book *book
}

// run performs operations for the given time and returns when the last has
// ended and all connections are closed.
func (m *mix) run(ctx context.Context, d time.Duration) (err error) {
	clients := make(map[load.Protocol]*client)
	var closers []func() error
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c())
		}
	}()
	for _, protocol := range Protocols() {
		to, err := newEntrance(m.ergo, protocol)
		if err != nil {
			return err
		}
		over, closeAll := to.transport()
		closers = append(closers, closeAll)
		clients[protocol] = &client{to, &http.Client{Transport: over}, m.ergo.Token()}
	}
	m.pace(ctx, d, clients)
	return context.Cause(ctx)
}

// pace begins an operation at each tick.
func (m *mix) pace(ctx context.Context, d time.Duration, clients map[load.Protocol]*client) {
	var underWay sync.WaitGroup
	defer underWay.Wait()
	places := make(chan struct{}, maxUnderWay)
	next := newDice()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(time.Duration(float64(time.Second) / m.rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
		select {
		case places <- struct{}{}:
		default:
			m.book.skip()
			continue
		}
		op, protocol := next.throw()
		underWay.Go(func() {
			defer func() { <-places }()
			m.perform(ctx, op, clients[protocol])
		})
	}
}

func (m *mix) perform(ctx context.Context, op operation, c *client) {
	limited, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	failure := ""
	if err := op.do(limited, c); err != nil {
		if ctx.Err() != nil {
			return // the run was interrupted
		}
		failure = fmt.Sprintf("%s: %v", c.protocol, err)
	}
	m.book.add(op.name, failure)
}

// dice pick operations and protocols; two of them pick the same.
type dice struct {
	random     *rand.Rand
	operations []operation // each as often as its weight
}

func newDice() *dice {
	d := &dice{random: rand.New(rand.NewPCG(1, 2))}
	for _, op := range operations() {
		for range op.weight {
			d.operations = append(d.operations, op)
		}
	}
	return d
}

func (d *dice) throw() (operation, load.Protocol) {
	op := d.operations[d.random.IntN(len(d.operations))]
	protocols := op.only
	if len(protocols) == 0 {
		protocols = Protocols()
	}
	return op, protocols[d.random.IntN(len(protocols))]
}
