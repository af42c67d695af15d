package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// Member is one certificate of an installation.
type Member struct {
	Name    string
	Request Request
}

// Installation is the PKI of a whole installation in sub-directories, one for
// each kind of reader, so that each gets its own as a volume and nothing more:
//
//	ca/    ca.crt ca.key                     for whoever issues
//	edge/  ca.crt, a pair for each edge, and the site certificates
//	core/  ca.crt, a pair for each core
type Installation struct {
	Path         string
	Edges, Cores []Member
	Sites        []Member
}

// Ensure makes what is missing, and makes anew what does not fit any more: a
// certificate of another CA, with other names, without its key, or with less
// than a third of its time left. It returns the paths of the certificates that
// it wrote; a second call finds nothing to do.
func (in Installation) Ensure() (written []string, err error) {
	authority, err := in.authority()
	if err != nil {
		return nil, err
	}
	e := &ensurer{authority: authority, now: time.Now()}
	edges, cores := filepath.Join(in.Path, string(tlsidentity.Edge)), filepath.Join(in.Path, string(tlsidentity.Core))
	if err := errors.Join(e.trust(edges), e.trust(cores)); err != nil {
		return e.written, err
	}
	for _, m := range in.Edges {
		err = errors.Join(err, e.tier(edges, tlsidentity.Edge, m))
	}
	for _, m := range in.Cores {
		err = errors.Join(err, e.tier(cores, tlsidentity.Core, m))
	}
	for _, m := range in.Sites {
		err = errors.Join(err, e.pair(edges, m.Name, func() (Pair, error) { return authority.IssueSite(m.Request) }))
	}
	return e.written, err
}

func (in Installation) authority() (*Authority, error) {
	dir := Dir{Path: filepath.Join(in.Path, authorityName)}
	authority, err := dir.Authority()
	if !errors.Is(err, fs.ErrNotExist) {
		return authority, err
	}
	if authority, err = NewAuthority("Ergo CA", AuthorityLifetime); err != nil {
		return nil, err
	}
	_, _, err = dir.Init(authority)
	return authority, err
}

type ensurer struct {
	authority *Authority
	now       time.Time
	written   []string
}

// trust puts the certificate of the CA into dir.
func (e *ensurer) trust(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d := Dir{Path: dir, Force: true}
	path := d.path(authorityName, ".crt")
	if old, err := os.ReadFile(path); err == nil && string(old) == string(e.authority.CertPEM()) {
		return nil
	}
	if err := d.place(path, e.authority.CertPEM(), 0o644); err != nil {
		return err
	}
	e.written = append(e.written, path)
	return nil
}

func (e *ensurer) tier(dir string, role tlsidentity.Role, m Member) error {
	return e.pair(dir, m.Name, func() (Pair, error) {
		return e.authority.IssueTier(tlsidentity.Identity{Role: role, Name: m.Name}, m.Request)
	})
}

func (e *ensurer) pair(dir, name string, issue func() (Pair, error)) error {
	pair, err := issue()
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	d := Dir{Path: dir, Force: true}
	if e.fits(d, name, pair) {
		return nil
	}
	cert, _, err := d.Write(name, pair)
	if err != nil {
		return err
	}
	e.written = append(e.written, cert)
	return nil
}

// fits reports whether the pair in the directory will do: it is like fresh, and
// a third of the time that fresh has is left of it.
func (e *ensurer) fits(d Dir, name string, fresh Pair) bool {
	old, err := tls.LoadX509KeyPair(d.path(name, ".crt"), d.path(name, ".key"))
	if err != nil {
		return false
	}
	want, err := tls.X509KeyPair(fresh.Cert, fresh.Key)
	if err != nil {
		return false
	}
	third := want.Leaf.NotAfter.Sub(e.now) / 3
	return old.Leaf.CheckSignatureFrom(e.authority.cert) == nil &&
		old.Leaf.NotAfter.Sub(e.now) > third &&
		slices.Equal(names(old.Leaf), names(want.Leaf)) &&
		slices.Equal(old.Leaf.ExtKeyUsage, want.Leaf.ExtKeyUsage)
}

// names returns all that a certificate stands for.
func names(cert *x509.Certificate) []string {
	all := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	for _, u := range cert.URIs {
		all = append(all, u.String())
	}
	slices.Sort(all)
	return all
}
