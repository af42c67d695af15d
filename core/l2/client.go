package l2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// spareConnections are those besides Config.Connections: for the writer, a probe,
// and calls of AppendPurge and Purges.
const spareConnections = 4

// newTLS returns nil for a server without TLS.
func newTLS(cfg TLS, at endpoint) (*tls.Config, error) {
	if !at.tls {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if c.ServerName == "" {
		c.ServerName = at.host
	}
	if cfg.CA != "" {
		pem, err := os.ReadFile(string(cfg.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: file %s holds no certificate in PEM", cfg.CA)
		}
	}
	if cfg.Cert != "" {
		cert, err := tls.LoadX509KeyPair(string(cfg.Cert), string(cfg.Key))
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// newClient returns a client of at most size connections. It does not connect.
//
// What go-redis does by itself is switched off where it would multiply time or
// round trips: retries of commands and of dials, the check for a cluster that is
// being moved, the names of libraries. Contexts bound every step of a command.
func (s *Store) newClient(size int) *redis.Client {
	silenceOnce.Do(func() { redis.SetLogger(silent{}) })
	timeout := s.cfg.Timeout.Std()
	return redis.NewClient(&redis.Options{
		Network:               s.at.network,
		Addr:                  s.at.addr,
		Dialer:                s.dial,
		Protocol:              2, // nothing is pushed to us
		Username:              s.cfg.Username,
		Password:              string(s.cfg.Password.Reveal()),
		DB:                    s.at.db,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           timeout,
		ReadTimeout:           timeout,
		WriteTimeout:          timeout,
		PoolTimeout:           timeout,
		ContextTimeoutEnabled: true,
		PoolSize:              size,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
}

// dial connects. go-redis' own dialer does not give up a TLS handshake when the
// context ends.
func (s *Store) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	if s.tls != nil {
		d := tls.Dialer{Config: s.tls}
		return d.DialContext(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// go-redis writes what its pool meets to the standard error, by a logger for the
// whole process. All of it comes back to us as errors too.
var silenceOnce sync.Once

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
