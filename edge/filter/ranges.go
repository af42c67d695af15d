package filter

import (
	"net/netip"
	"slices"
)

// ranges is a set of addresses as sorted, separate intervals, so that a list of
// thousands costs a dozen comparisons.
type ranges []interval

type interval struct{ first, last netip.Addr }

func newRanges(prefixes []netip.Prefix) ranges {
	all := make(ranges, len(prefixes))
	for i, p := range prefixes {
		all[i] = interval{p.Addr(), lastAddr(p)}
	}
	slices.SortFunc(all, func(a, b interval) int { return a.first.Compare(b.first) })
	merged := all[:0]
	for _, next := range all {
		if n := len(merged); n > 0 && next.first.Compare(merged[n-1].last) <= 0 {
			if merged[n-1].last.Less(next.last) {
				merged[n-1].last = next.last
			}
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b) // b has the length of an address
	return last
}

// contains reports whether addr, which is no IPv4-mapped address, is in the set.
func (r ranges) contains(addr netip.Addr) bool {
	i, found := slices.BinarySearchFunc(r, addr, func(i interval, a netip.Addr) int { return i.first.Compare(a) })
	return found || i > 0 && addr.Compare(r[i-1].last) <= 0
}
