package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ergoproxy/ergo/shared/tlsidentity"
)

// ergo runs the command and returns its exit code and what it printed.
func ergo(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"", 2, "", "usage: ergo COMMAND"},
		{"help", 0, "usage: ergo COMMAND", ""},
		{"--help", 0, "usage: ergo COMMAND", ""},
		{"frobnicate", 2, "", `unknown command "frobnicate"`},
		{"version", 0, "ergo ", ""},
		{"version x", 2, "", "1 arguments, want 0"},
		{"status -h", 0, "", "usage: ergo status"},
		{"status --frobnicate", 2, "", "-frobnicate"},
		{"status a b", 2, "", "want one address"},
		{"status ftp://a", 2, "", "is no address"},
		{"wait", 2, "", "no address"},
		{"wait ://", 2, "", "is no address"},
		{"pki", 2, "", "init, issue or ensure?"},
		{"pki -h", 0, "", "usage: ergo pki"},
		{"pki revoke", 2, "", "usage: ergo pki"},
		{"pki init --days 0", 2, "", "--days 0"},
		{"pki init --days 36501", 2, "", "--days 36501"},
		{"pki issue", 2, "", "--role"},
		{"pki issue --role admin --name a", 2, "", `--role "admin"`},
		{"pki issue --role edge", 2, "", "--name"},
		{"pki issue --role edge --name a/b", 2, "", "--name"},
		{"pki issue --role edge --name a --ip localhost", 2, "", `--ip "localhost"`},
		{"pki issue --role site", 2, "", "needs --dns"},
		{"pki ensure", 2, "", "no --edge"},
		{"pki ensure --edge a/b", 2, "", "a/b"},
		{"pki ensure --site a", 2, "", "NAME=HOST"},
	} {
		code, stdout, stderr := ergo(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("ergo %s = %d, %q, %q, want %d, %q, %q", tt.args, code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
}

func TestPKIMakesWhatTiersLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if code, _, stderr := ergo(t, "pki", "issue", "--dir", dir, "--role", "edge", "--name", "edge-1"); code != 1 || !strings.Contains(stderr, "ergo pki init --dir "+dir) {
		t.Errorf("issue without a CA = %d, %q, want 1 and what to do", code, stderr)
	}
	code, stdout, stderr := ergo(t, "pki", "init", "--dir", dir)
	if code != 0 || !strings.Contains(stdout, "ergo pki issue --dir "+dir) {
		t.Fatalf("init = %d, %q, %q", code, stdout, stderr)
	}
	for _, role := range []tlsidentity.Role{tlsidentity.Edge, tlsidentity.Core} {
		name := string(role) + "-1"
		code, stdout, stderr := ergo(t, "pki", "issue", "--dir", dir, "--role", string(role), "--name", name, "--dns", "x.test", "--ip", "::1", "--days", "3")
		if code != 0 || !strings.Contains(stdout, "valid until") {
			t.Fatalf("issue = %d, %q, %q", code, stdout, stderr)
		}
		c, err := tlsidentity.Load(tlsidentity.Files{
			CA:   filepath.Join(dir, "ca.crt"),
			Cert: filepath.Join(dir, name+".crt"),
			Key:  filepath.Join(dir, name+".key"),
		}, role)
		if err != nil {
			t.Fatal(err)
		}
		if c.Identity().Name != name {
			t.Errorf("identity %v, want %s", c.Identity(), name)
		}
	}
	if code, _, stderr := ergo(t, "pki", "init", "--dir", dir); code != 1 || !strings.Contains(stderr, "exists already") {
		t.Errorf("second init = %d, %q, want 1 and that it exists", code, stderr)
	}
	if code, _, stderr := ergo(t, "pki", "issue", "--dir", dir, "--role", "site", "--dns", "*.example.test"); code != 0 {
		t.Errorf("site = %d, %q", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "wildcard.example.test.crt")); err != nil {
		t.Error(err)
	}
}

func TestPKIEnsureMayRunEachTime(t *testing.T) {
	dir := t.TempDir()
	args := []string{"pki", "ensure", "--dir", dir, "--edge", "edge-1", "--core", "core-1=core.test,10.0.0.1", "--site", "site=localhost,::1"}
	code, stdout, stderr := ergo(t, args...)
	if code != 0 || !strings.Contains(stdout, filepath.Join(dir, "core", "core-1.crt")) {
		t.Fatalf("ensure = %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr = ergo(t, args...); code != 0 || !strings.Contains(stdout, "are good") {
		t.Errorf("second ensure = %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr = ergo(t, "pki", "ensure", "--dir", dir, "--core", "core-1=a_b"); code != 1 || !strings.Contains(stderr, `"a_b" is no DNS name`) {
		t.Errorf("ensure of a bad host = %d, %q", code, stderr)
	}
}

func TestLinkedNameRunsTheSubcommand(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"/bin/ergo version", "version"},
		{"ergo", ""},
		{"/bin/ergo-status --json", "status --json"},
		{"ergo-wait", "wait"},
		{"ergo-linux-amd64 wait", "wait"},
		{"/bin/other status", "status"},
	} {
		if got := strings.Join(commandLine(strings.Fields(tt.args)), " "); got != tt.want {
			t.Errorf("commandLine(%s) = %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestStatusPrintsTablesOfAnything(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"name":"edge-1","ready":true,"config":{"generation":3,"file":""},
			"listeners":["a:1","b:2"],"empty":[],
			"cores":[{"name":"core-1","state":"up","lanes":4},{"name":"core-2\u001b[2J","state":"down","why":{"code":1},"lanes":12345678901}]}`)
	}))
	defer srv.Close()
	address := strings.TrimPrefix(srv.URL, "http://")

	code, _, stderr := ergo(t, "status", address)
	if code != 1 || !strings.Contains(stderr, "answers 401: a bearer token is needed; give it with --token-file") {
		t.Errorf("without token = %d, %q", code, stderr)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := ergo(t, "status", "--token-file", token, address)
	want := `name       edge-1
ready      true
listeners  a:1, b:2
empty      -

config
generation  3
file        -

cores
  NAME        STATE  LANES        WHY
  core-1      up     4            -
  core-2?[2J  down   12345678901  code=1
`
	if code != 0 || stdout != want {
		t.Errorf("status = %d, %q\n%s\nwant\n%s", code, stderr, stdout, want)
	}
	t.Setenv(tokenVariable, "secret")
	if code, stdout, _ = ergo(t, "status", "--json", srv.URL); code != 0 || !strings.HasPrefix(stdout, `{"name":"edge-1"`) {
		t.Errorf("status --json = %d, %q", code, stdout)
	}
}

func TestStatusRefusesWhatIsNoObject(t *testing.T) {
	for _, body := range []string{"", "[]", "1", `{"a":`, `{"a":1`, strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)} {
		if err := printStatus(io.Discard, []byte(body)); err == nil {
			t.Errorf("%.20q was printed", body)
		}
	}
}

func TestWaitUntilReady(t *testing.T) {
	var looks atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/page":
			return
		case looks.Add(1) < 3:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"ready":false,"reasons":["no core is up"]}`)
		}
	}))
	defer srv.Close()
	code, _, stderr := ergo(t, "wait", "--once", srv.URL)
	if code != 1 || !strings.Contains(stderr, "/readyz is not ready: no core is up") {
		t.Errorf("wait --once = %d, %q, want 1 and the reason", code, stderr)
	}
	code, stdout, stderr := ergo(t, "wait", srv.URL, srv.URL+"/page")
	if code != 0 || !strings.Contains(stdout, "/readyz is ready\n") || !strings.Contains(stdout, "/page is ready\n") || looks.Load() != 3 {
		t.Errorf("wait = %d, %q, %q after %d looks", code, stdout, stderr, looks.Load())
	}
}

func TestWaitGivesUp(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	address := srv.URL
	code, _, stderr := ergo(t, "wait", "--timeout", "1ms", address)
	if code != 1 || !strings.Contains(stderr, "not ready after 1ms") {
		t.Errorf("wait = %d, %q, want that the time is over", code, stderr)
	}
	srv.Close()
	code, _, stderr = ergo(t, "wait", "--once", address)
	if code != 1 || !strings.Contains(stderr, "connection refused") {
		t.Errorf("wait for nobody = %d, %q, want connection refused", code, stderr)
	}
}
