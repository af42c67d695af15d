package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// CheckListenAddress returns what is wrong with addr as an address to listen on:
// host:port, where the host is an IP address of this machine, "localhost", or
// empty for all its addresses, and port 0 is one that the system picks.
func CheckListenAddress(addr string) error {
	host, port, err := splitAddress(addr, ":8080")
	if err != nil {
		return err
	}
	if err := checkPort(addr, port, 0); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Errorf("%q: %q is no IP address, want one of this machine, or none as in \":%s\" to listen on all", addr, host, port)
	}
	return nil
}

// CheckDialAddress returns what is wrong with addr as an address to connect to:
// host:port with the name or IP address of a host and a port from 1 to 65535.
func CheckDialAddress(addr string) error {
	host, port, err := splitAddress(addr, "core-1:7443")
	if err != nil {
		return err
	}
	if host == "" {
		return fmt.Errorf("%q has no host, want a name or IP address before the port such as \"core-1:%s\"", addr, port)
	}
	if err := checkPort(addr, port, 1); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil && !isHostname(host) {
		return fmt.Errorf("%q: %q is no host name or IP address", addr, host)
	}
	return nil
}

// splitAddress cuts addr in two, or says which of the usual mistakes it is.
func splitAddress(addr, example string) (host, port string, err error) {
	if addr == "" {
		return "", "", fmt.Errorf("is required, want host:port such as %q", example)
	}
	if scheme, rest, ok := strings.Cut(addr, "://"); ok {
		return "", "", fmt.Errorf("%q is a URL, want host:port without %q and without a path, such as %q", addr, scheme+"://", strings.TrimRight(rest, "/"))
	}
	if ip, err := netip.ParseAddr(addr); err == nil && ip.Is6() {
		return "", "", fmt.Errorf("%q has no port, want one after the IPv6 address in brackets such as \"[%s]:443\"", addr, addr)
	}
	host, port, err = net.SplitHostPort(addr)
	if err == nil {
		return host, port, nil
	}
	ae, ok := errors.AsType[*net.AddrError](err)
	switch {
	case !strings.Contains(addr, ":"):
		return "", "", fmt.Errorf("%q has no port, want host:port such as %q", addr, example)
	case ok && strings.HasPrefix(addr, "["):
		return "", "", fmt.Errorf("%q: %s, want [address]:port such as \"[::1]:443\"", addr, ae.Err)
	}
	return "", "", fmt.Errorf("%q is no address, want host:port such as %q; an IPv6 address stands in brackets", addr, example)
}

func checkPort(addr, port string, lowest int) error {
	if port == "" {
		return fmt.Errorf("%q has no port after the colon, want a number from %d to 65535", addr, lowest)
	}
	n, err := strconv.ParseUint(port, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return fmt.Errorf("%q: port %q is no number, want one from %d to 65535", addr, port, lowest)
	}
	if err != nil || n < uint64(lowest) || n > 65535 {
		return fmt.Errorf("%q: port %s is out of range, want a number from %d to 65535", addr, port, lowest)
	}
	return nil
}

// isHostname reports whether s can be looked up: RFC 1123, section 2.1, and the
// underscore that container networks use.
func isHostname(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}
