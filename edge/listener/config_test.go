package listener_test

import (
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/edge/listener"
	"github.com/ergoproxy/ergo/shared/config"
)

func TestValidateNamesWhatIsWrong(t *testing.T) {
	defaultTLS := func(change func(*listener.TLS)) config.Validator {
		c := &listener.TLS{}
		c.SetDefaults()
		c.Certificates = []listener.Certificate{{Cert: "a", Key: "b"}}
		change(c)
		return c
	}
	limits := func(change func(*listener.Limits)) config.Validator {
		l := defaultLimits()
		change(&l)
		return &l
	}
	withTLS := tlsConfig(nil)
	withTLS.Protocols = []string{"h1", "h2c"}
	for _, tt := range []struct {
		name string
		in   config.Validator
		want string // key of the only problem; "" for none
	}{
		{"default limits", limits(func(*listener.Limits) {}), ""},
		{"default tls", defaultTLS(func(*listener.TLS) {}), ""},
		{"clear", ptr(clearConfig("h1", "h2c")), ""},
		{"no port", &listener.Config{Address: "localhost"}, "address"},
		{"port out of range", &listener.Config{Address: ":65536"}, "address"},
		{"named port", &listener.Config{Address: ":http"}, "address"},
		{"h2 in clear text", ptr(clearConfig("h2")), "protocols"},
		{"h2c with tls", &withTLS, "protocols"},
		{"twice h1", ptr(clearConfig("h1", "h1")), "protocols"},
		{"no certificate", defaultTLS(func(c *listener.TLS) { c.Certificates = nil }), "certificates"},
		{"old TLS", defaultTLS(func(c *listener.TLS) { c.MinVersion = "1.1" }), "min_version"},
		{"client_auth unknown", defaultTLS(func(c *listener.TLS) { c.ClientAuth = "maybe" }), "client_auth"},
		{"client_auth without CA", defaultTLS(func(c *listener.TLS) { c.ClientAuth = "require" }), "client_ca"},
		{"CA without client_auth", defaultTLS(func(c *listener.TLS) { c.ClientCA = "ca" }), "client_ca"},
		{"certificate without key", &listener.Certificate{Cert: "a"}, "key"},
		{"key without certificate", &listener.Certificate{Key: "a"}, "cert"},
		{"nobody trusted", &listener.ProxyProtocol{HeaderTimeout: 1}, "trusted"},
		{"trusted is no range", &listener.ProxyProtocol{HeaderTimeout: 1, Trusted: []string{"10.0.0.0/8", "lb"}}, "trusted[1]"},
		{"no header timeout", &listener.ProxyProtocol{Trusted: []string{"::1"}}, "header_timeout"},
		{"small head", limits(func(l *listener.Limits) { l.HeaderBytes, l.URLBytes = 1023, 100 }), "header_bytes"},
		{"url above head", limits(func(l *listener.Limits) { l.URLBytes = 33 << 10 }), "url_bytes"},
		{"no fields", limits(func(l *listener.Limits) { l.HeaderCount = 0 }), "header_count"},
		{"no connections", limits(func(l *listener.Limits) { l.Connections = 0 }), "connections"},
		{"no streams", limits(func(l *listener.Limits) { l.ConcurrentStreams = 0 }), "concurrent_streams"},
		{"no handshake timeout", limits(func(l *listener.Limits) { l.HandshakeTimeout = 0 }), "handshake_timeout"},
		{"no header timeout", limits(func(l *listener.Limits) { l.HeaderTimeout = 0 }), "header_timeout"},
		{"no idle timeout", limits(func(l *listener.Limits) { l.IdleTimeout = 0 }), "idle_timeout"},
		{"unlimited where allowed", limits(func(l *listener.Limits) {
			l.BodyBytes, l.ConnectionsPerAddress, l.ControlFrames, l.BodyTimeout, l.WriteTimeout = 0, 0, 0, 0, 0
		}), ""},
	} {
		var r config.Report
		tt.in.Validate(&r)
		var keys []string
		for _, p := range r.Problems() {
			keys = append(keys, p.Key)
		}
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("%s: problems with %q, want %q: %v", tt.name, got, tt.want, r.Problems())
		}
	}
}

func TestNewNamesTheEntry(t *testing.T) {
	same := clearConfig()
	same.Address = "127.0.0.1:8080"
	missing := tlsConfig([]listener.Certificate{{Cert: "/nonexistent.crt", Key: "/nonexistent.key"}})
	for want, configs := range map[string][]listener.Config{
		"listen[1]: address 127.0.0.1:8080 is already that of listen[0]": {same, same},
		"listen[1]: load certificate /nonexistent.crt":                   {same, missing},
		"listen[0]: protocols: ":                                         {clearConfig("h3")},
	} {
		if _, err := listener.New(configs, defaultLimits(), sink, listener.Deps{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := listener.New(nil, defaultLimits(), sink, listener.Deps{Secret: []byte("short")}); err == nil {
		t.Error("a short secret was taken")
	}
}

func ptr[T any](v T) *T { return &v }
