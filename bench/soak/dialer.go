package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// perAddress is how many connections come from one address: below the edge's
// default limit, and far below the number of its ports.
const perAddress = 900

// openTimeout bounds how long one connection and its request may take.
const openTimeout = 30 * time.Second

// A dialer makes connections of one protocol and keeps them. Each index is used
// once; different ones may be used at the same time.
type dialer struct {
	entrance
	sources []source // of perAddress connections each
	held    []held
}

func newDialer(to entrance, n int) (*dialer, error) {
	d := &dialer{entrance: to, held: make([]held, n)}
	for i := 2; len(d.sources)*perAddress < n; i++ { // 127.0.0.1 is left to the tiers
		s, err := to.source(net.IPv4(127, 0, byte(i>>8), byte(i)))
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.sources = append(d.sources, s)
	}
	return d, nil
}

// open makes connection i and sends one request over it. Its context must outlast
// the connection, which net/http may close otherwise.
func (d *dialer) open(ctx context.Context, i int) error {
	dialling, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := d.sources[i/perAddress].dial(dialling)
	if err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	d.held[i] = conn
	defer time.AfterFunc(openTimeout, func() { conn.end() }).Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url()+"/bytes/100", nil)
	if err != nil {
		return err
	}
	response, err := conn.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("request over connection %d: %w", i, err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != 100 || response.StatusCode != http.StatusOK {
		return fmt.Errorf("request over connection %d: %s with %d bytes: %w", i, response.Status, n, err)
	}
	return nil
}

// check returns an error if a connection has ended.
func (d *dialer) check() error {
	lost, first := 0, error(nil)
	for _, conn := range d.held {
		if err := conn.lost(); err != nil {
			lost++
			first = err
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d of %d connections did not last: %w", lost, len(d.held), first)
	}
	return nil
}

func (d *dialer) close() error {
	var errs []error
	for _, conn := range d.held {
		if conn != nil {
			// One that the edge has closed already is no news here: check told.
			_ = conn.end()
		}
	}
	for _, s := range d.sources {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
