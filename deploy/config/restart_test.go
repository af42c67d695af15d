package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/core"
	"github.com/ergoproxy/ergo/edge"
	"github.com/ergoproxy/ergo/shared/config"
)

const edgeFile = `name: edge-1
listen: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0", token: {file: admin.token}}
tunnel: {ca: ca.crt, cert: edge-1.crt, key: edge-1.key, cores: ["127.0.0.1:1"]}
`

const coreFile = `name: core-1
tunnel: {listen: "127.0.0.1:0", ca: ca.crt, cert: core-1.crt, key: core-1.key, secret: {file: tunnel.secret}}
admin: {address: "127.0.0.1:0"}
backends: {web: {endpoints: ["http://10.0.0.5:3000"]}}
routes: [{match: {path: "/"}, backend: web}]
`

// A reload must not seem to do what only a restart does. Each of these keys
// stands in docs/operations.md, too.
func TestReloadRefusesWhatNeedsARestart(t *testing.T) {
	_, documented, _ := strings.Cut(read(t, operations), "\nThese keys need a restart.")
	documented, _, _ = strings.Cut(documented, "\n## ")
	p := newPantry(t)
	for _, tt := range []struct{ tier, key, from, to string }{
		{"edge", "admin", "token: {file: admin.token}", "token: {file: tunnel.secret}"},
		{"edge", "admin", `"127.0.0.1:0", token`, `"127.0.0.1:0", pprof: true, token`},
		{"edge", "log", "listen:", "log: {level: debug}\nlisten:"},
		{"edge", "memory", "listen:", "memory: {headroom: 0}\nlisten:"},
		{"edge", "access_log", "listen:", "access_log: {only: failures}\nlisten:"},
		{"edge", "name", "edge-1", "edge-2"},
		{"edge", "tunnel.cert", "edge-1.crt, key: edge-1.key", "./other.crt, key: ./other.key"},
		{"edge", "tunnel.receive_memory", "cores:", "receive_memory: 64MiB, cores:"},
		{"edge", "tunnel.balance", "cores:", "balance: random, cores:"},
		{"edge", "tunnel.retry", "cores:", "retry: {attempts: 1}, cores:"},
		{"edge", "tunnel.health", "cores:", "health: {failures: 9}, cores:"},
		{"core", "admin", `admin: {address: "127.0.0.1:0"}`, `admin: {address: "127.0.0.1:0", token: {file: admin.token}}`},
		{"core", "log", "backends:", "log: {format: console}\nbackends:"},
		{"core", "memory", "backends:", "memory: {limit: 1GiB}\nbackends:"},
		{"core", "access_log", "backends:", "access_log: {only: all}\nbackends:"},
		{"core", "name", "core-1", "core-2"},
		{"core", "tunnel.secret", "tunnel.secret", "admin.token"},
		{"core", "tunnel.listen", `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:7443"`},
		{"core", "tunnel.lanes", "secret:", "lanes: 7, secret:"},
		{"core", "tunnel.max_connections", "secret:", "max_connections: 7, secret:"},
		{"core", "tunnel.body_credit", "secret:", "body_credit: 64KiB, secret:"},
	} {
		t.Run(tt.tier+"/"+tt.key, func(t *testing.T) {
			for _, ending := range []string{".crt", ".key"} {
				p.write(t, "other"+ending, read(t, filepath.Join(p.dir, "edge-1"+ending)))
			}
			before := map[string]string{"edge": edgeFile, "core": coreFile}[tt.tier]
			after := strings.ReplaceAll(before, tt.from, tt.to)
			if before == after {
				t.Fatalf("%q is not in the file", tt.from)
			}
			err := p.reload(t, tt.tier, before, after)
			if err == nil || !strings.Contains(err.Error(), tt.key) || !strings.Contains(err.Error(), "restart") {
				t.Errorf("got %v, want that %s needs a restart", err, tt.key)
			}
			if !strings.Contains(documented, "`"+tt.key+"`") {
				t.Errorf("docs/operations.md does not say that %s needs a restart", tt.key)
			}
		})
	}
}

// reload makes a tier of one file and reloads it with another.
func (p pantry) reload(t *testing.T, tier, before, after string) error {
	t.Helper()
	if tier == "edge" {
		var old, next edge.Config
		p.load(t, before, &old)
		p.load(t, after, &next)
		s, err := edge.New(&old, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return s.Reload(&next)
	}
	var old, next core.Config
	p.load(t, before, &old)
	p.load(t, after, &next)
	s, err := core.New(&old, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return s.Reload(&next)
}

func (p pantry) load(t *testing.T, text string, into any) {
	t.Helper()
	if _, err := config.Decode("test.yaml", p.dir, []byte(text), into); err != nil {
		t.Fatal(err)
	}
}
