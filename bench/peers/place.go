package peers

import (
	"context"
	"fmt"
	"net"
	"net/http"
)

// loopback is where processes listen that only their own side talks to.
const loopback = "127.0.0.1"

// A Place is a network that processes run in. The zero value is that of the bench.
type Place struct {
	// Address is the IP address at which other places find this one. Empty:
	// 127.0.0.1, there is no other place.
	Address string
	// Inside calls f, and returns its error, on a thread that is in the network:
	// sockets that f opens and processes that it starts belong there. Nil: f is called.
	Inside func(f func() error) error
}

// Places are where the tiers of a chain run. The client is beside the edge tier,
// which listens on the loopback there; the backend is beside the core tier.
type Places struct {
	Edge, Core Place
}

func (p Place) inside(f func() error) error {
	if p.Inside == nil {
		return f()
	}
	return p.Inside(f)
}

// host is the address for those in other places.
func (p Place) host() string {
	if p.Address == "" {
		return loopback
	}
	return p.Address
}

// Dial connects from within the place. The address is an IP address and a port.
func (p Place) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = p.inside(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// transport returns what asks from within the place. It keeps no connection.
func (p Place) transport() *http.Transport {
	return &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}
}

// A spot is where a process wants to listen.
type spot struct {
	place Place
	host  string
}

// freePorts returns an address for each spot that nobody listens on. All are held
// until the last is found, so that they differ.
func freePorts(spots ...spot) ([]string, error) {
	addresses := make([]string, len(spots))
	for i, s := range spots {
		var listener net.Listener
		err := s.place.inside(func() (err error) {
			listener, err = net.Listen("tcp", net.JoinHostPort(s.host, "0"))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close()
		addresses[i] = listener.Addr().String()
	}
	return addresses, nil
}
