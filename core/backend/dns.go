package backend

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lookUp follows the DNS until ctx is done.
func (p *Pool) lookUp(ctx context.Context) {
	failing := false
	for {
		found, err := p.resolve(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			// The last good answer stays: a resolver that is down must not
			// take the backends with it.
			if !failing {
				p.log.Warn().Err(err).Str("name", p.cfg.DNS.Name).Msg("backend look-up fails, keeping the last answer")
			}
		default:
			if failing {
				p.log.Info().Str("name", p.cfg.DNS.Name).Msg("backend look-up works again")
			}
			p.useAnswer(found)
		}
		failing = err != nil
		timer := time.NewTimer(p.cfg.DNS.Refresh.Std())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// useAnswer makes found the resolved endpoints, if they are others.
func (p *Pool) useAnswer(found []Endpoint) {
	slices.SortFunc(found, func(a, b Endpoint) int { return strings.Compare(a.URL, b.URL) })
	found = slices.Compact(found)
	if limit := p.cfg.DNS.MaxEndpoints; len(found) > limit {
		p.log.Warn().Str("name", p.cfg.DNS.Name).Int("found", len(found)).Int("used", limit).
			Msg("backend look-up found too many")
		found = found[:limit]
	}
	p.mu.Lock()
	same := slices.Equal(found, p.resolved)
	p.mu.Unlock()
	if same {
		return
	}
	if err := p.setEndpoints(found); err != nil {
		p.log.Warn().Err(err).Str("name", p.cfg.DNS.Name).Msg("backend look-up gave unusable endpoints")
		return
	}
	p.log.Info().Str("name", p.cfg.DNS.Name).Int("found", len(found)).Msg("backend look-up changed the pool")
}

// resolve asks once. An answer without any address is an error.
func (p *Pool) resolve(ctx context.Context) ([]Endpoint, error) {
	d := p.cfg.DNS
	ctx, cancel := context.WithTimeout(ctx, d.Timeout.Std())
	defer cancel()
	resolver := p.dialer.net.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	if d.Type == DNSTypeSRV {
		return resolveSRV(ctx, resolver, d)
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", d.Name)
	if err != nil {
		return nil, err
	}
	return addressed(d.Scheme, d.port(), d.Name, addrs), nil
}

// resolveSRV uses the records of the best priority; weights are not used. The
// targets stay names, so that their certificates can be checked.
func resolveSRV(ctx context.Context, resolver *net.Resolver, d *DNS) ([]Endpoint, error) {
	_, records, err := resolver.LookupSRV(ctx, "", "", d.Name)
	if err != nil {
		return nil, err
	}
	var found []Endpoint
	for _, r := range records {
		if r.Priority != records[0].Priority {
			break // they come sorted
		}
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" {
			continue // "." means that there is no such service (RFC 2782)
		}
		found = append(found, Endpoint{URL: d.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(r.Port)))})
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no target", Name: d.Name, IsNotFound: true}
	}
	return found, nil
}

// addressed makes endpoints of addresses. Certificates are checked for name,
// not for the address.
func addressed(scheme, port, name string, addrs []netip.Addr) []Endpoint {
	found := make([]Endpoint, len(addrs))
	for i, a := range addrs {
		found[i] = Endpoint{URL: scheme + "://" + net.JoinHostPort(a.Unmap().String(), port), serverName: name}
	}
	return found
}
