package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

const day = 24 * time.Hour

func runPKI(_ context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "init":
			return runPKIInit(args[1:], stdout, stderr)
		case "issue":
			return runPKIIssue(args[1:], stdout, stderr)
		case "ensure":
			return runPKIEnsure(args[1:], stdout, stderr)
		}
	}
	flags := newFlags("pki", "init|issue|ensure [flags]", stderr)
	if len(args) == 0 {
		return misuse(flags, "init, issue or ensure?")
	}
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	return misuse(flags, "init, issue or ensure?")
}

func runPKIInit(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("pki init", "[flags]", stderr)
	dir := flags.String("dir", "pki", "directory to write ca.crt and ca.key to")
	name := flags.String("name", "Ergo CA", "common name of the CA")
	days := flags.Int("days", int(pki.AuthorityLifetime/day), "days until the CA expires")
	force := flags.Bool("force", false, "replace the CA; every certificate issued so far is refused from then on")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	lifetime, err := lifetimeOf(*days)
	if err != nil {
		return misuse(flags, "%v", err)
	}
	authority, err := pki.NewAuthority(*name, lifetime)
	if err != nil {
		return err
	}
	cert, key, err := pki.Dir{Path: *dir, Force: *force}.Init(authority)
	if err != nil {
		return err
	}
	pair, err := authority.Pair()
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s, valid until %s: every edge and core gets it as tunnel.ca\n", cert, pair.NotAfter.Format(time.DateOnly))
	fmt.Fprintf(stdout, "wrote %s: keep it off edges and cores, whoever has it can be any of them\n\n", key)
	fmt.Fprintf(stdout, "next, one for each tier:\n  ergo pki issue --dir %s --role edge --name edge-1\n  ergo pki issue --dir %s --role core --name core-1\n", *dir, *dir)
	return nil
}

// issueFlags are the flags of ergo pki issue.
type issueFlags struct {
	dir, role, name string
	dns, ips        listFlag
	days            int
	force           bool
}

func runPKIIssue(args []string, stdout, stderr io.Writer) error {
	var f issueFlags
	flags := newFlags("pki issue", "--role edge|core|site --name NAME [flags]", stderr)
	flags.StringVar(&f.dir, "dir", "pki", "directory of ca.crt and ca.key; the certificate goes there too")
	flags.StringVar(&f.role, "role", "", "edge, core, or site: a server certificate for clients that trust this CA")
	flags.StringVar(&f.name, "name", "", "name of the tier as in its config, and of the files; for a site the first --dns by default")
	flags.Var(&f.dns, "dns", "a further DNS name, repeatable; a tier's own name is one already")
	flags.Var(&f.ips, "ip", "a further IP address, repeatable")
	flags.IntVar(&f.days, "days", int(pki.PairLifetime/day), "days until the certificate expires")
	flags.BoolVar(&f.force, "force", false, "replace files that exist")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	if f.role == "site" && f.name == "" && len(f.dns) > 0 {
		f.name = strings.ReplaceAll(f.dns[0], "*", "wildcard")
	}
	request, err := f.request()
	if err != nil {
		return misuse(flags, "%v", err)
	}
	return f.issue(request, stdout)
}

// request checks the flags. Its errors are about the command line.
func (f *issueFlags) request() (pki.Request, error) {
	r := pki.Request{DNS: f.dns}
	for _, s := range f.ips {
		ip := net.ParseIP(s)
		if ip == nil {
			return r, fmt.Errorf("--ip %q is no IP address", s)
		}
		r.IPs = append(r.IPs, ip)
	}
	var err error
	if r.Lifetime, err = lifetimeOf(f.days); err != nil {
		return r, err
	}
	if f.role == "site" {
		if f.name == "" || len(f.dns)+len(f.ips) == 0 {
			return r, errors.New("--role site needs --dns, or --ip and --name")
		}
		return r, nil
	}
	if !tlsidentity.Role(f.role).Valid() {
		return r, fmt.Errorf("--role %q, want edge, core or site", f.role)
	}
	if err := tlsidentity.ValidateName(f.name); err != nil {
		return r, fmt.Errorf("--name: %w", err)
	}
	return r, nil
}

func (f *issueFlags) issue(request pki.Request, stdout io.Writer) error {
	dir := pki.Dir{Path: f.dir, Force: f.force}
	authority, err := dir.Authority()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; make a CA first: ergo pki init --dir %s", err, f.dir)
	}
	if err != nil {
		return err
	}
	var pair pki.Pair
	if f.role == "site" {
		pair, err = authority.IssueSite(request)
	} else {
		pair, err = authority.IssueTier(tlsidentity.Identity{Role: tlsidentity.Role(f.role), Name: f.name}, request)
	}
	if err != nil {
		return err
	}
	cert, key, err := dir.Write(f.name, pair)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s, valid until %s\nwrote %s\n\n", cert, pair.NotAfter.Format(time.DateOnly), key)
	if f.role == "site" {
		fmt.Fprintf(stdout, "next: name both under listen[].tls.certificates of the edge; curl trusts it with --cacert %s/ca.crt\n", f.dir)
		return nil
	}
	fmt.Fprintf(stdout, "next: copy both and %s/ca.crt to the %s and name them there:\n  tunnel: {ca: ca.crt, cert: %s.crt, key: %s.key}\n", f.dir, f.role, f.name, f.name)
	return nil
}

// maxDays is a century: more is a slip of the finger, and would overflow.
const maxDays = 36500

func lifetimeOf(days int) (time.Duration, error) {
	if days < 1 || days > maxDays {
		return 0, fmt.Errorf("--days %d, want 1 to %d", days, maxDays)
	}
	return time.Duration(days) * day, nil
}

// listFlag is a flag that may be given several times.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ", ") }

// Set adds a value.
func (l *listFlag) Set(s string) error {
	*l = append(*l, s)
	return nil
}
