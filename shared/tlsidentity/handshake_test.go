package tlsidentity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tlsidentity/identitytest"
)

// outcome is what both ends of one handshake say.
type outcome struct {
	client, server error
	refused        error // what the refused callback was given
	resumed        bool
}

// shake does one handshake over TCP on loopback and passes one byte from the
// core to the edge, without which a TLS 1.3 client does not learn that its
// certificate was refused.
func shake(t *testing.T, client *tls.Config, server *tls.Config, refused <-chan error) outcome {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		if err = conn.HandshakeContext(ctx); err == nil {
			_, err = conn.Write([]byte{1})
		}
		served <- err
	}()
	var out outcome
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	defer conn.Close()
	if out.client = conn.HandshakeContext(ctx); out.client == nil {
		_, out.client = io.ReadFull(conn, make([]byte, 1))
		out.resumed = conn.ConnectionState().DidResume
	}
	raw.Close()
	out.server = <-served
	select {
	case out.refused = <-refused:
	default:
	}
	return out
}

// serve returns the settings of a core and the channel of its refusals.
func serve(t *testing.T, c *tlsidentity.Credentials) (*tls.Config, <-chan error) {
	t.Helper()
	keys, err := c.Keys(nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 8)
	return c.ServerConfig(keys, func(remote net.Addr, err error) {
		if !strings.HasPrefix(remote.String(), "127.0.0.1:") {
			t.Errorf("refused %v, want the address of the client", remote)
		}
		refused <- err
	}), refused
}

// with returns conf showing another certificate, or none.
func with(t *testing.T, conf *tls.Config, certPEM, keyPEM []byte) *tls.Config {
	t.Helper()
	conf = conf.Clone()
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{}, nil
	}
	if certPEM != nil {
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return conf
}

func TestEdgeAndCoreOfOneCAMeet(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	edge, core := ca.Credentials(t, edge1), ca.Credentials(t, core1, "core-1", "core.example")
	server, refused := serve(t, core)
	for _, want := range []tlsidentity.Want{
		{}, {Name: "core-1"}, {Name: "core-1", Host: "elsewhere.example"},
		{Host: "core.example"}, {Host: "127.0.0.1"}, {Host: "::1"},
	} {
		out := shake(t, edge.ClientConfig(want), server, refused)
		if out.client != nil || out.server != nil || out.refused != nil {
			t.Errorf("want %+v: edge says %v, core says %v, refused %v", want, out.client, out.server, out.refused)
		}
	}
}

func TestEdgeRefusesWrongCore(t *testing.T) {
	ca, stranger := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	edge := ca.Credentials(t, edge1)
	expired := identitytest.Template(t, core1)
	expired.NotAfter = time.Now().Add(-time.Second)
	noRole := identitytest.Template(t, core1)
	noRole.URIs = nil
	noUsage := identitytest.Template(t, core1)
	noUsage.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	edgeWithServerUse := identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Edge, Name: "edge-2"})
	edgeWithServerUse.ExtKeyUsage = append(edgeWithServerUse.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	tests := []struct {
		name string
		by   *identitytest.Authority
		cert *x509.Certificate
		want tlsidentity.Want
		says string
	}{
		{"an edge", ca, identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Edge, Name: "edge-2"}), tlsidentity.Want{}, `certificate of "edge-2" has role edge, want core`},
		{"an edge that may serve", ca, edgeWithServerUse, tlsidentity.Want{}, `certificate of "edge-2" has role edge, want core`},
		{"another CA", stranger, identitytest.Template(t, core1), tlsidentity.Want{}, `certificate of "core-1": x509: certificate signed by unknown authority`},
		{"expired", ca, expired, tlsidentity.Want{}, `certificate of "core-1": x509: certificate has expired`},
		{"no identity", ca, noRole, tlsidentity.Want{}, `certificate "core-1" has 0 ergo:// names, want one`},
		{"no server use", ca, noUsage, tlsidentity.Want{}, `certificate of "core-1": x509: certificate specifies an incompatible key usage`},
		{"another name", ca, identitytest.Template(t, core1, "core-1"), tlsidentity.Want{Name: "core-2", Host: "core-1"}, `certificate is of core "core-1", want "core-2"`},
		{"another host", ca, identitytest.Template(t, core1, "core-1"), tlsidentity.Want{Host: "core-2"}, `certificate of core "core-1" is for the host names ["core-1"], want "core-2"`},
		{"no host names", ca, identitytest.Template(t, core1), tlsidentity.Want{Host: "core-1"}, `certificate of core "core-1" is for the host names [], want "core-1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, key := tt.by.Sign(t, tt.cert)
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			server := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{tlsidentity.ALPN}, ClientAuth: tls.RequestClientCert}
			out := shake(t, edge.ClientConfig(tt.want), server, nil)
			if out.client == nil || !strings.Contains(out.client.Error(), tt.says) {
				t.Errorf("edge says %v, want %q", out.client, tt.says)
			}
			if out.server == nil || !strings.Contains(out.server.Error(), "bad certificate") {
				t.Errorf("core says %v, want the alert bad certificate", out.server)
			}
		})
	}
}

func TestCoreRefusesWrongEdge(t *testing.T) {
	ca, stranger := identitytest.NewAuthority(t), identitytest.NewAuthority(t)
	edge, core := ca.Credentials(t, edge1), ca.Credentials(t, core1)
	expired := identitytest.Template(t, edge1)
	expired.NotAfter = time.Now().Add(-time.Second)
	early := identitytest.Template(t, edge1)
	early.NotBefore = time.Now().Add(time.Hour)
	early.NotAfter = time.Now().Add(2 * time.Hour)
	noUsage := identitytest.Template(t, edge1)
	noUsage.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	tests := []struct {
		name string
		by   *identitytest.Authority
		cert *x509.Certificate
		says string
	}{
		{"no certificate", nil, nil, tlsidentity.ErrNoCertificate.Error()},
		{"another core", ca, identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-2"}), `certificate of "core-2" has role core, want edge`},
		{"another CA", stranger, identitytest.Template(t, edge1), `certificate of "edge-1": x509: certificate signed by unknown authority`},
		{"expired", ca, expired, `certificate of "edge-1": x509: certificate has expired`},
		{"not yet valid", ca, early, `certificate of "edge-1": x509: certificate has expired or is not yet valid`},
		{"no client use", ca, noUsage, `incompatible key usage`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var cert, key []byte
			if tt.by != nil {
				cert, key = tt.by.Sign(t, tt.cert)
			}
			server, refused := serve(t, core)
			out := shake(t, with(t, edge.ClientConfig(tlsidentity.Want{}), cert, key), server, refused)
			if out.server == nil || !strings.Contains(out.server.Error(), tt.says) {
				t.Errorf("core says %v, want %q", out.server, tt.says)
			}
			if out.refused == nil || !strings.Contains(out.refused.Error(), tt.says) {
				t.Errorf("refused says %v, want %q", out.refused, tt.says)
			}
			if out.client == nil || !strings.Contains(out.client.Error(), "bad certificate") {
				t.Errorf("edge says %v, want the alert bad certificate", out.client)
			}
		})
	}
}

func TestRefusalsHaveTypes(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	edge, core := ca.Credentials(t, edge1), ca.Credentials(t, core1)
	server, refused := serve(t, core)
	cert, key := ca.Sign(t, identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Core, Name: "core-2"}))
	out := shake(t, with(t, edge.ClientConfig(tlsidentity.Want{}), cert, key), server, refused)
	var role *tlsidentity.RoleError
	if !errors.As(out.refused, &role) || role.Got.Name != "core-2" || role.Want != tlsidentity.Edge {
		t.Errorf("refused %#v, want a RoleError about core-2", out.refused)
	}
	out = shake(t, with(t, edge.ClientConfig(tlsidentity.Want{}), nil, nil), server, refused)
	if !errors.Is(out.refused, tlsidentity.ErrNoCertificate) || !errors.Is(out.server, tlsidentity.ErrNoCertificate) {
		t.Errorf("refused %v, core says %v, want ErrNoCertificate of both", out.refused, out.server)
	}
	out = shake(t, edge.ClientConfig(tlsidentity.Want{Name: "core-9"}), server, refused)
	var name *tlsidentity.NameError
	if !errors.As(out.client, &name) || name.Got != core1 || name.Want != "core-9" {
		t.Errorf("edge says %#v, want a NameError about core-1", out.client)
	}
}

func TestOldTLSAndOtherProtocolsAreRefused(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	edge, core := ca.Credentials(t, edge1), ca.Credentials(t, core1)
	server, refused := serve(t, core)
	old := edge.ClientConfig(tlsidentity.Want{})
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if out := shake(t, old, server, refused); out.client == nil || !strings.Contains(out.client.Error(), "protocol version") {
		t.Errorf("TLS 1.2: edge says %v, want the alert protocol version", out.client)
	}
	h2 := edge.ClientConfig(tlsidentity.Want{})
	h2.NextProtos = []string{"h2"}
	if out := shake(t, h2, server, refused); out.client == nil || !strings.Contains(out.client.Error(), "no application protocol") {
		t.Errorf("ALPN h2: edge says %v, want the alert no application protocol", out.client)
	}
}

// A ticket must outlive a restart of the core, and must not let an edge in that
// is refused by now.
func TestTicketsSurviveRestartButNotTheCA(t *testing.T) {
	ca := identitytest.NewAuthority(t)
	cert, key := ca.Sign(t, identitytest.Template(t, core1))
	start := func(roots []byte) (*tls.Config, <-chan error) {
		core, err := tlsidentity.FromPEM(roots, cert, key, tlsidentity.Core)
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, core)
	}
	client := ca.Credentials(t, edge1).ClientConfig(tlsidentity.Want{})
	// The session is kept under the server's name, and the port is another one
	// after each restart.
	client.ServerName = "core-1"
	server, refused := start(ca.CertPEM)
	if out := shake(t, client, server, refused); out.client != nil || out.resumed {
		t.Fatalf("first handshake: %+v, want a full one", out)
	}
	server, refused = start(ca.CertPEM)
	if out := shake(t, client, server, refused); out.client != nil || !out.resumed {
		t.Fatalf("after a restart: %+v, want a resumed one", out)
	}

	// The same core key, so the same ticket key, under a new CA.
	successor := identitytest.NewAuthority(t)
	newCert, newKey := successor.Sign(t, identitytest.Template(t, core1))
	moved, err := tlsidentity.FromPEM(successor.CertPEM, newCert, newKey, tlsidentity.Core)
	if err != nil {
		t.Fatal(err)
	}
	old, err := tlsidentity.FromPEM(ca.CertPEM, cert, key, tlsidentity.Core)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := old.Keys(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := shake(t, client, moved.ServerConfig(keys, nil), nil)
	var chain *tlsidentity.ChainError
	if !errors.As(out.server, &chain) {
		t.Errorf("core under a new CA says %v to an old ticket, want a ChainError", out.server)
	}
}
