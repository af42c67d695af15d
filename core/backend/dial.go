package backend

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/ergoproxy/ergo/core/backend/h1"
	"github.com/ergoproxy/ergo/shared/config"
)

// bufferSize of an HTTP/2 connection, in bytes, for each direction. With the 4
// KiB of net/http a body of 1 MiB takes 256 system calls a side.
const bufferSize = 32 << 10

// streamWindow is how much of one HTTP/2 response is held in memory while its
// client does not read, in bytes. The window of the whole connection stays at
// net/http's 1 GiB, so that clients that don't read never stop the others.
const streamWindow = 512 << 10

// A dialer opens connections to the backends of one pool. It makes TCP and TLS
// itself and gives h1 or net/http the finished connection: errors and times of each
// step are known here, and both versions of HTTP count what is sent alike.
type dialer struct {
	net       net.Dialer
	handshake time.Duration
	tls       *tls.Config // without ServerName and NextProtos
	protocol  string
	h1        h1.Settings
	h2        *http.Transport // settings for ClientConns, never used as a RoundTripper
}

// dialedKey carries a finished connection to the Transport's DialContext.
type dialedKey struct{}

func newDialer(cfg *Config, resolver *net.Resolver) (*dialer, error) {
	tlsConfig, err := clientTLS(&cfg.TLS)
	if err != nil {
		return nil, err
	}
	h2 := &http.Transport{
		Proxy:                  nil, // never what the environment says
		DisableCompression:     true,
		ResponseHeaderTimeout:  cfg.Timeouts.ResponseHeader.Std(),
		ExpectContinueTimeout:  cfg.Timeouts.Continue.Std(),
		IdleConnTimeout:        cfg.Timeouts.IdleConnection.Std(),
		MaxResponseHeaderBytes: int64(cfg.Limits.ResponseHeader),
		WriteBufferSize:        bufferSize,
		ReadBufferSize:         bufferSize,
		Protocols:              new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(dialedKey{}).(*conn), nil
		},
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           15 * time.Second, // of silence
			PingTimeout:               5 * time.Second,
			WriteByteTimeout:          30 * time.Second,
		},
	}
	h2.Protocols.SetUnencryptedHTTP2(true) // TLS, if any, is beneath
	return &dialer{
		net: net.Dialer{
			Timeout:  cfg.Timeouts.Connect.Std(),
			Resolver: resolver,
			KeepAliveConfig: net.KeepAliveConfig{
				Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
			},
		},
		handshake: cfg.Timeouts.TLSHandshake.Std(),
		tls:       tlsConfig,
		protocol:  cfg.Protocol,
		h1: h1.Settings{
			HeadLimit:       int(cfg.Limits.ResponseHeader),
			HeadTimeout:     cfg.Timeouts.ResponseHeader.Std(),
			ContinueTimeout: cfg.Timeouts.Continue.Std(),
		},
		h2: h2,
	}, nil
}

// clientTLS reads the files.
func clientTLS(t *TLS) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify,
		ClientSessionCache: tls.NewLRUClientSessionCache(256),
	}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.CA != "" {
		pem, err := os.ReadFile(string(t.CA))
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: %s holds none in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(string(t.Cert), string(t.Key))
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// sum returns a hash of what the files hold; one that cannot be read counts as
// empty.
func (t *TLS) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range []config.Path{t.CA, t.Cert, t.Key} {
		var content []byte
		if path != "" {
			content, _ = os.ReadFile(string(path))
		}
		fmt.Fprintf(h, "%d\n", len(content)) // or a byte could move from one file to the next unseen
		h.Write(content)
	}
	h.Sum(sum[:0])
	return sum
}

// A target is where and how a dialer connects.
type target struct {
	scheme string // http, https, h2c
	addr   string // host:port
	tls    *tls.Config

	// spoken is what the last connection by "auto" was: a hint for conns.
	spoken atomic.Uint32
}

// Values of target.spoken.
const (
	spokenUnknown uint32 = iota
	spokenH1
	spokenH2
)

func (d *dialer) target(e Endpoint) (*target, error) {
	scheme, addr, err := e.parse()
	if err != nil {
		return nil, err
	}
	t := &target{scheme: scheme, addr: addr}
	if scheme == "https" {
		t.tls = d.tls.Clone()
		t.tls.NextProtos = alpn(d.protocol)
		if t.tls.ServerName == "" {
			t.tls.ServerName = e.serverName
		}
		if t.tls.ServerName == "" {
			t.tls.ServerName, _, _ = net.SplitHostPort(addr)
		}
	}
	return t, nil
}

func alpn(protocol string) []string {
	switch protocol {
	case ProtocolH1:
		return []string{"http/1.1"}
	case ProtocolH2:
		return []string{"h2"}
	}
	return []string{"h2", "http/1.1"}
}

// onlyH2 reports whether t can't speak HTTP/1.1.
func (d *dialer) onlyH2(t *target) bool {
	return t.scheme == "h2c" || d.protocol == ProtocolH2
}

// preferH2 reports whether a new connection is expected to be HTTP/2.
func (d *dialer) preferH2(t *target) bool {
	return d.onlyH2(t) || t.scheme == "https" && d.protocol == ProtocolAuto && t.spoken.Load() != spokenH1
}

// dial opens a connection to t for pool, HTTP/1.1 if onlyH1 asks for it. Nothing
// of a request was sent when it fails: its errors are of stage Unsent.
func (d *dialer) dial(ctx context.Context, t *target, pool *conns, onlyH1 bool) (*conn, error) {
	network, err := d.net.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, dialError(ctx, t.addr, err)
	}
	wire, err := h1.NewWire(network.(*net.TCPConn))
	if err != nil {
		network.Close()
		return nil, dialError(ctx, t.addr, err)
	}
	c := &conn{Conn: wire, wire: wire, pool: pool, h2: d.onlyH2(t)}
	if t.tls != nil {
		secured, err := d.secure(ctx, t, wire, onlyH1)
		if err != nil {
			wire.Close()
			return nil, err
		}
		negotiated := secured.ConnectionState().NegotiatedProtocol
		if c.h2 && negotiated != "h2" {
			secured.Close()
			return nil, handshakeError(ctx, t.addr, errNoH2)
		}
		c.Conn, c.h2 = secured, negotiated == "h2"
		if !onlyH1 {
			t.spoken.Store(spokenH1 + b2u(c.h2))
		}
	}
	if !c.h2 {
		c.h1 = h1.New(c, &d.h1, func() { pool.freed(c) })
		return c, nil
	}
	c.frames = newFrameWatch()
	c.client, err = d.h2.NewClientConn(context.WithValue(ctx, dialedKey{}, c), "http", t.addr)
	if err != nil {
		c.Close()
		return nil, dialError(ctx, t.addr, err)
	}
	return c, nil
}

var errNoH2 = errors.New("backend does not speak h2 over TLS")

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// secure makes the TLS handshake.
func (d *dialer) secure(ctx context.Context, t *target, network net.Conn, onlyH1 bool) (*tls.Conn, error) {
	cfg := t.tls
	if onlyH1 && len(cfg.NextProtos) > 1 {
		cfg = cfg.Clone()
		cfg.NextProtos = alpn(ProtocolH1)
	}
	c := tls.Client(network, cfg)
	limited, cancel := context.WithTimeout(ctx, d.handshake)
	defer cancel()
	if err := c.HandshakeContext(limited); err != nil {
		return nil, handshakeError(ctx, t.addr, err)
	}
	return c, nil
}
