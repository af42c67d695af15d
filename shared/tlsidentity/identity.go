// Package tlsidentity says how a tier is named in its certificate, and makes
// the TLS settings with which the two ends of a tunnel check each other.
//
// A tier's certificate carries exactly one ergo:// URI as a subject alternative
// name (RFC 5280, section 4.2.1.6):
//
//	ergo://edge/edge-1    role edge, extended key usage clientAuth alone
//	ergo://core/core-1    role core, extended key usages serverAuth and clientAuth
//
// and any DNS names and addresses beside it. Edges connect, cores accept: an
// edge takes only a core of its own CA, a core takes only an edge of its own
// CA, so that a stolen edge certificate cannot stand in for a core.
//
// What is wrong with a peer's certificate comes out as ErrNoCertificate,
// *ChainError, *FormatError, *RoleError or *NameError; each says what was shown
// and what was wanted. Everything here is safe for concurrent use.
package tlsidentity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// ALPN is the protocol name of the tunnel (RFC 7301).
const ALPN = "ergo/1"

// MaxName is the longest name of a tier, in bytes: one DNS label.
const MaxName = 63

const scheme = "ergo"

// Role is what a tier does: the first half of its identity.
type Role string

// The two roles. There are no others: an unknown one is refused.
const (
	Edge Role = "edge"
	Core Role = "core"
)

// Valid reports whether r is one of the two roles.
func (r Role) Valid() bool { return r == Edge || r == Core }

// usage is what the certificate of a role must be good for when it is checked
// by the other end.
func (r Role) usage() x509.ExtKeyUsage {
	if r == Core {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// Identity is who a tier is.
type Identity struct {
	Role Role
	Name string // as in the tier's config, at most MaxName bytes
}

// String returns "edge/edge-1".
func (id Identity) String() string { return string(id.Role) + "/" + id.Name }

// URI returns the subject alternative name of id.
func (id Identity) URI() *url.URL {
	return &url.URL{Scheme: scheme, Host: string(id.Role), Path: "/" + id.Name}
}

// Validate says what is wrong with the role or the name of id, if anything.
func (id Identity) Validate() error {
	if !id.Role.Valid() {
		return fmt.Errorf("role %q, want %s or %s", id.Role, Edge, Core)
	}
	return ValidateName(id.Name)
}

// ValidateName says what is wrong with name as the name of a tier, if anything.
// Names travel in certificates, logs, metric labels and Via fields, so only
// letters, digits and inner "-", "." and "_" are allowed.
func ValidateName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%q has %d bytes, want 1 to %d", name, len(name), MaxName)
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1 && (c == '-' || c == '.' || c == '_')
		if !alphanumeric && !inner {
			return fmt.Errorf("%q is no name of a tier, want letters, digits, and - . _ between them", name)
		}
	}
	return nil
}

// Parse reads the identity out of cert. It returns a *FormatError when the
// certificate names no tier, more than one, or one that is not valid. It says
// nothing about who signed cert.
func Parse(cert *x509.Certificate) (Identity, error) {
	var found []*url.URL
	for _, u := range cert.URIs {
		if u.Scheme == scheme {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return Identity{}, &FormatError{Subject: subject(cert), Problem: fmt.Sprintf("has %d ergo:// names, want one", len(found))}
	}
	u := found[0]
	id := Identity{Role: Role(u.Host)}
	if len(u.Path) > 1 {
		id.Name = u.Path[1:]
	}
	if err := id.Validate(); err != nil {
		return Identity{}, &FormatError{Subject: subject(cert), Problem: err.Error()}
	}
	// What the fields above do not hold (user, query, fragment, escapes) must
	// not be there: two spellings of one identity would not compare equal.
	if u.String() != id.URI().String() {
		return Identity{}, &FormatError{Subject: subject(cert), Problem: fmt.Sprintf("names %q, want %q", u, id.URI())}
	}
	return id, nil
}

// Template returns the certificate of id that is left to sign: its names, key
// usages and times. The serial number is chosen by x509.CreateCertificate.
func Template(id Identity, dns []string, ips []net.IP, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.URI()},
		DNSNames:              dns,
		IPAddresses:           ips,
	}
	t.Subject.CommonName = id.Name
	if id.Role == Core {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return t, nil
}

// subject names a certificate in a message. The text comes from the peer: it is
// cut, and printed with %q by all who use it.
func subject(cert *x509.Certificate) string {
	s := cert.Subject.CommonName
	if s == "" {
		s = "serial " + cert.SerialNumber.Text(16)
	}
	if len(s) > MaxName {
		s = s[:MaxName] + "..."
	}
	return s
}

// ErrNoCertificate is the verdict on a peer that showed no certificate.
var ErrNoCertificate = errors.New("peer shows no certificate, want one of this CA")

// FormatError is the verdict on a certificate that does not name one tier.
type FormatError struct {
	Subject string // common name or serial number
	Problem string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("certificate %q %s", e.Subject, e.Problem)
}

// ChainError is the verdict on a certificate that is expired, not signed by the
// CA, or not meant for its use.
type ChainError struct {
	Subject string // common name or serial number
	Err     error  // as crypto/x509 says it
}

func (e *ChainError) Error() string {
	return fmt.Sprintf("certificate of %q: %v", e.Subject, e.Err)
}

// Unwrap returns the error of crypto/x509.
func (e *ChainError) Unwrap() error { return e.Err }

// RoleError is the verdict on a tier of the wrong kind.
type RoleError struct {
	Got  Identity
	Want Role
}

func (e *RoleError) Error() string {
	return fmt.Sprintf("certificate of %q has role %s, want %s", e.Got.Name, e.Got.Role, e.Want)
}

// NameError is the verdict on a tier of the right kind that is not the one
// which was dialled.
type NameError struct {
	Got  Identity
	DNS  []string // DNS names of the certificate, when it was dialled by host name
	Want string   // name of the tier, or host name
}

func (e *NameError) Error() string {
	if e.DNS != nil {
		return fmt.Sprintf("certificate of %s %q is for the host names %q, want %q", e.Got.Role, e.Got.Name, e.DNS, e.Want)
	}
	return fmt.Sprintf("certificate is of %s %q, want %q", e.Got.Role, e.Got.Name, e.Want)
}
