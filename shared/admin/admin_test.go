package admin_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/config"
	"github.com/ergoproxy/ergo/shared/tlsidentity"
	"github.com/ergoproxy/ergo/shared/tlsidentity/identitytest"
)

const token = "0123456789abcdef"

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type tier struct {
	url     string
	reasons []string
	log     *lockedBuffer
	stop    func() error // ends Serve and returns what it returned
}

// start runs a server for c on a free loopback port. change, if not nil, sees
// the server before it serves.
func start(t *testing.T, c admin.Config, change func(*tier, *admin.Server)) *tier {
	t.Helper()
	x := &tier{log: &lockedBuffer{}}
	c.Address = "127.0.0.1:0"
	s, err := admin.New(c, admin.Deps{
		Ready:   func() []string { return x.reasons },
		Status:  func() any { return map[string]int{"cores": 2} },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "metric 1\n") }),
		Log:     zerolog.New(x.log),
	})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(x, s)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	x.url = "http://" + l.Addr().String()
	if c.TLS != nil {
		x.url = "https://" + l.Addr().String()
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	x.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := x.stop(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	return x
}

// do sends one request, with header given as "Name: value", and returns status
// and body.
func do(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestPagesOnLoopback(t *testing.T) {
	x := start(t, admin.Config{}, func(_ *tier, s *admin.Server) {
		s.Handle("POST /purge", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "purged") }))
	})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, "\"status\": \"ok\""},
		{"GET", "/readyz", 200, "\"ready\": true"},
		{"GET", "/metrics", 200, "metric 1\n"},
		{"GET", "/status", 200, "{\n  \"cores\": 2\n}\n"},
		{"POST", "/purge", 200, "purged"},
		{"GET", "/purge", 405, ""},
		{"POST", "/status", 405, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/", 404, ""},
	} {
		if status, body := do(t, tt.method, x.url+tt.path); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s = %d %q, want %d %q", tt.method, tt.path, status, body, tt.status, tt.body)
		}
	}
}

func TestReadyzNamesTheReasons(t *testing.T) {
	x := start(t, admin.Config{}, func(x *tier, _ *admin.Server) { x.reasons = []string{"no core is up"} })
	status, body := do(t, "GET", x.url+"/readyz")
	if status != 503 || !strings.Contains(body, `"no core is up"`) || !strings.Contains(body, `"ready": false`) {
		t.Errorf("readyz = %d %q, want 503 with the reason", status, body)
	}
}

func TestPprofOnlyWhenConfigured(t *testing.T) {
	x := start(t, admin.Config{Pprof: true}, nil)
	if status, body := do(t, "GET", x.url+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("goroutine profile = %d %.80q", status, body)
	}
	// net/http/pprof refuses profiles longer than the server's WriteTimeout.
	if status, body := do(t, "GET", x.url+"/debug/pprof/trace?seconds=0.01"); status != 200 {
		t.Errorf("trace = %d %.80q", status, body)
	}
}

func TestTokenIsAskedForAllButProbes(t *testing.T) {
	x := start(t, admin.Config{Token: config.NewSecret([]byte(token))}, func(x *tier, _ *admin.Server) { x.reasons = []string{"no core is up"} })
	for _, tt := range []struct {
		path, authorization string
		status              int
	}{
		{"/status", "Bearer " + token, 200},
		{"/status", "bearer " + token, 200},
		{"/metrics", "Bearer " + token, 200},
		{"/status", "", 401},
		{"/metrics", "", 401},
		{"/nothing", "", 401},
		{"/status", "Bearer", 401},
		{"/status", "Bearer " + token + "x", 401},
		{"/status", "Bearer " + token[:15], 401},
		{"/status", "Basic " + token, 401},
		{"/healthz/", "", 401},
		{"//healthz", "", 401},
		{"/healthz", "", 200},
		{"/readyz", "", 503},
	} {
		var header []string
		if tt.authorization != "" {
			header = append(header, "Authorization: "+tt.authorization)
		}
		status, body := do(t, "GET", x.url+tt.path, header...)
		if status != tt.status {
			t.Errorf("GET %s with %q = %d, want %d", tt.path, tt.authorization, status, tt.status)
		}
		if strings.Contains(body, "no core is up") {
			t.Errorf("GET %s with %q tells the reasons: %q", tt.path, tt.authorization, body)
		}
	}
	if _, body := do(t, "GET", x.url+"/readyz", "Authorization: Bearer "+token); !strings.Contains(body, "no core is up") {
		t.Errorf("readyz with the token = %q, want the reasons", body)
	}
}

func TestBrowsersGetNothing(t *testing.T) {
	purges := 0
	x := start(t, admin.Config{}, func(_ *tier, s *admin.Server) {
		s.Handle("POST /purge", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { purges++ }))
	})
	for _, tt := range []struct {
		method, path, header string
		status               int
	}{
		{"GET", "/status", "Host: rebound.example", 403},
		{"GET", "/status", "Host: 127.0.0.1.rebound.example:9901", 403},
		{"GET", "/status", "Host: 192.0.2.1", 403},
		{"GET", "/status", "Host: localhost:9901", 200},
		{"GET", "/status", "Host: [::1]:9901", 200},
		{"GET", "/status", "Host: [::1]", 200},
		{"POST", "/purge", "Sec-Fetch-Site: cross-site", 403},
		{"POST", "/purge", "Origin: https://page.example", 403},
	} {
		if status, _ := do(t, tt.method, x.url+tt.path, tt.header); status != tt.status {
			t.Errorf("%s %s with %q = %d, want %d", tt.method, tt.path, tt.header, status, tt.status)
		}
	}
	if purges != 0 {
		t.Errorf("%d purges by a browser's page", purges)
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	x := start(t, admin.Config{}, func(_ *tier, s *admin.Server) {
		s.Handle("POST /read", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			}
		}))
	})
	res, err := http.Post(x.url+"/read", "text/plain", strings.NewReader(strings.Repeat("x", 64<<10+1)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("65,537 bytes of body = %d, want 413", res.StatusCode)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", x.url+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 32<<10))
	// The server may close before it has read all, so that the client sees a
	// reset instead of the answer.
	if res, err = http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("32 KiB of header = %d, want 431", res.StatusCode)
		}
	}
}

func TestTakenPortIsAnErrorOfListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := admin.New(admin.Config{Address: l.Addr().String()}, admin.Deps{Metrics: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Listen(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Listen = %v, want the address in use", err)
	}
}

func TestWithoutAddressServeWaitsForTheEnd(t *testing.T) {
	s, err := admin.New(admin.Config{}, admin.Deps{Metrics: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen()
	if l != nil || err != nil {
		t.Fatalf("Listen = %v, %v, want nothing", l, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx, l); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestShutdownLetsARequestEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	x := start(t, admin.Config{}, func(_ *tier, s *admin.Server) {
		s.Handle("GET /slow", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-leave
			io.WriteString(w, "done")
		}))
	})
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get(x.url + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- x.stop() }()
	waitRefused(t, strings.TrimPrefix(x.url, "http://"))
	close(leave)
	if got := <-answer; got != "done" {
		t.Errorf("request in flight got %q, want done", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

// waitRefused returns when nobody listens on addr any more.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(5 * time.Second)
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("still listening after 5 s")
		}
	}
}

func TestServeReportsALostListener(t *testing.T) {
	s, err := admin.New(admin.Config{Address: "127.0.0.1:0"}, admin.Deps{Metrics: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), "admin: ") {
		t.Errorf("Serve = %v, want the listener's error", err)
	}
}

func TestClientCAKeepsStrangersOut(t *testing.T) {
	dir := t.TempDir()
	ca := identitytest.NewAuthority(t)
	write := func(name string, data []byte) config.Path {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Path(path)
	}
	issue := func(name string) (cert, key []byte) {
		return ca.Sign(t, identitytest.Template(t, tlsidentity.Identity{Role: tlsidentity.Core, Name: name}))
	}
	cert, key := issue("first")
	conf := admin.TLS{Cert: write("a.crt", cert), Key: write("a.key", key), ClientCA: write("ca.crt", ca.CertPEM)}
	x := start(t, admin.Config{TLS: &conf}, nil)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM)
	get := func(pairs ...tls.Certificate) (server string, err error) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: pairs}}}
		res, err := client.Get(x.url + "/status")
		if err != nil {
			return "", err
		}
		res.Body.Close()
		return res.TLS.PeerCertificates[0].Subject.CommonName, nil
	}
	client, err := tls.X509KeyPair(issue("operator"))
	if err != nil {
		t.Fatal(err)
	}
	if server, err := get(client); server != "first" || err != nil {
		t.Errorf("with a certificate: %q, %v", server, err)
	}
	if _, err := get(); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v, want the alert certificate required", err)
	}

	// A renewed certificate is taken from its file, a broken one is not.
	cert, key = issue("second")
	write("a.crt", cert)
	if server, err := get(client); server != "first" || err != nil {
		t.Errorf("while half the pair is new: %q, %v, want the first", server, err)
	}
	if !strings.Contains(x.log.String(), "admin certificate not reloaded") {
		t.Errorf("log %s lacks the reload that was refused", x.log)
	}
	write("a.key", key)
	if server, err := get(client); server != "second" || err != nil {
		t.Errorf("with the new pair: %q, %v, want the second", server, err)
	}
}

func TestNewReadsCertificates(t *testing.T) {
	missing := config.Path(filepath.Join(t.TempDir(), "none.crt"))
	_, err := admin.New(admin.Config{TLS: &admin.TLS{Cert: missing, Key: missing}}, admin.Deps{Metrics: http.NotFoundHandler()})
	if err == nil || !strings.Contains(err.Error(), "none.crt") {
		t.Errorf("New = %v, want an error that names the file", err)
	}
}
