package listener

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// open binds the sockets of plan that are not bound yet, all or none, and makes
// each entry of plan ready. It returns the endpoints of all of plan; the caller
// holds mu.
func (s *Server) open(plan []*settings) (map[string]endpoint, error) {
	all := map[string]endpoint{}
	var fresh []endpoint
	for _, st := range plan {
		opened, err := s.openOne(st, all)
		fresh = append(fresh, opened...)
		if err != nil {
			for _, e := range fresh {
				e.close()
			}
			return nil, err
		}
	}
	return all, nil
}

// openOne binds what st needs and adds it to all. It returns what is new.
func (s *Server) openOne(st *settings, all map[string]endpoint) (fresh []endpoint, err error) {
	st.resolved = st.Address
	for _, key := range st.sockets() {
		e, ok := s.endpoints[key]
		if !ok {
			if e, err = s.bind(key, st); err != nil {
				return fresh, err
			}
			fresh = append(fresh, e)
		}
		all[key] = e
		if st.resolved == st.Address && strings.HasSuffix(st.Address, ":0") {
			host, _, _ := net.SplitHostPort(st.Address)
			_, port, _ := net.SplitHostPort(e.addr().String())
			st.resolved = net.JoinHostPort(host, port)
		}
		if strings.HasPrefix(key, "udp ") {
			st.announce(e.addr())
		}
	}
	for _, e := range fresh {
		e.use(st)
	}
	return fresh, nil
}

func (s *Server) bind(key string, st *settings) (endpoint, error) {
	if strings.HasPrefix(key, "tcp ") {
		ln, err := net.Listen("tcp", st.resolved)
		if err != nil {
			return nil, bindError("tcp", st.resolved, err)
		}
		return newTCPEndpoint(s, ln), nil
	}
	addr, err := net.ResolveUDPAddr("udp", st.resolved)
	if err != nil {
		return nil, bindError("udp", st.resolved, err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, bindError("udp", st.resolved, err)
	}
	e, err := newQUICEndpoint(s, conn, st)
	if err != nil {
		conn.Close()
		return nil, bindError("udp", st.resolved, err)
	}
	return e, nil
}

// bindError says in one line what is wrong and what to do.
func bindError(network, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen %s (%s): %w; another process holds the port, stop it or choose another address", address, network, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen %s (%s): permission denied; ports below 1024 need CAP_NET_BIND_SERVICE or a port above: %w", address, network, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen %s (%s): no interface has this address: %w", address, network, syscall.EADDRNOTAVAIL)
	}
	return fmt.Errorf("listen %s (%s): %w", address, network, err)
}
