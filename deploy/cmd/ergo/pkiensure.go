package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/ergoproxy/ergo/deploy/pki"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// runPKIEnsure is for whoever starts a whole installation, as the compose file
// does: one command that may run each time.
func runPKIEnsure(args []string, stdout, stderr io.Writer) error {
	flags := newFlags("pki ensure", "--edge NAME --core NAME [--site NAME=HOST,...] [flags]\n\n"+
		"Makes a CA and certificates in ca/, edge/ and core/ below a directory, or renews\n"+
		"what has less than a third of its time left. HOST is a DNS name or an IP address.", stderr)
	var in pki.Installation
	var edges, cores, sites listFlag
	flags.StringVar(&in.Path, "dir", "pki", "directory to keep it all in")
	flags.Var(&edges, "edge", "NAME[=HOST,...] of an edge, repeatable")
	flags.Var(&cores, "core", "NAME[=HOST,...] of a core, repeatable")
	flags.Var(&sites, "site", "NAME=HOST,... of a server certificate for clients, repeatable")
	if err := parse(flags, args, 0); err != nil {
		return err
	}
	for _, l := range []struct {
		values listFlag
		to     *[]pki.Member
		site   bool
	}{{edges, &in.Edges, false}, {cores, &in.Cores, false}, {sites, &in.Sites, true}} {
		for _, value := range l.values {
			m, err := parseMember(value, l.site)
			if err != nil {
				return misuse(flags, "%v", err)
			}
			*l.to = append(*l.to, m)
		}
	}
	if len(in.Edges)+len(in.Cores)+len(in.Sites) == 0 {
		return misuse(flags, "no --edge, no --core and no --site")
	}
	written, err := in.Ensure()
	for _, path := range written {
		fmt.Fprintf(stdout, "wrote %s\n", path)
	}
	if err == nil && len(written) == 0 {
		fmt.Fprintf(stdout, "all certificates in %s are good\n", in.Path)
	}
	return err
}

func parseMember(value string, site bool) (pki.Member, error) {
	name, hosts, named := strings.Cut(value, "=")
	m := pki.Member{Name: name}
	if err := tlsidentity.ValidateName(name); err != nil {
		return m, err
	}
	if site && !named {
		return m, fmt.Errorf("%q, want NAME=HOST,... for a site", value)
	}
	if !named {
		return m, nil
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if ip := net.ParseIP(host); ip != nil {
			m.Request.IPs = append(m.Request.IPs, ip)
			continue
		}
		m.Request.DNS = append(m.Request.DNS, host) // checked when it is issued
	}
	return m, nil
}
