package requestpath_test

import (
	"testing"

	"github.com/ergoproxy/ergo/shared/requestpath"
)

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "EXAMPLE.com:8443": "example.com", "example.com.": "example.com",
		"example.com.:80": "example.com", "192.0.2.1:80": "192.0.2.1", "[2001:DB8::1]:443": "2001:db8::1",
		"[2001:db8::1]": "2001:db8::1", "2001:db8::1": "2001:db8::1", "": "", ":80": "", "[::1": "::1", "*.x": "*.x",
	} {
		if got := requestpath.Host(in); got != want {
			t.Errorf("Host(%q) = %q, want %q", in, got, want)
		}
	}
	if got := testing.AllocsPerRun(100, func() { requestpath.Host("example.com:8443") }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
