package admin

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// newTLS returns settings that read the files at each handshake, so that a
// renewed certificate needs no reload: there are few handshakes here. Files that
// cannot be used leave those of the last handshake in force.
func newTLS(c TLS, log zerolog.Logger) (*tls.Config, error) {
	first, err := loadTLS(c)
	if err != nil {
		return nil, err
	}
	var good atomic.Pointer[tls.Config]
	good.Store(first)
	outer := first.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		conf, err := loadTLS(c)
		if err != nil {
			log.Warn().Err(err).Msg("admin certificate not reloaded")
			return good.Load(), nil
		}
		good.Store(conf)
		return conf, nil
	}
	return outer, nil
}

func loadTLS(c TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(string(c.Cert), string(c.Key))
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", c.Cert, err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	if c.ClientCA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(string(c.ClientCA))
	if err != nil {
		return nil, fmt.Errorf("read client CA: %w", err)
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read client CA %s: no certificate in it", c.ClientCA)
	}
	return conf, nil
}
