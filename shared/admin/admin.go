// Package admin is the HTTP server with which operators and their tools watch
// and steer a tier:
//
//	GET /healthz          200 while the process serves
//	GET /readyz           200 when the tier can do its work, else 503 with the reasons
//	GET /metrics          Prometheus
//	GET /status           JSON of what the tier knows about itself
//	GET /debug/pprof/...  profiles, if the config says so
//
// and what the tier adds with Handle. It listens on loopback, or wherever a
// bearer token (RFC 6750) or a client certificate keeps strangers out. The two
// probes ask for no token, but tell no reasons without it. Pages of a browser
// on the same machine get nothing: a request that changes something must not be
// cross-origin (Sec-Fetch-Site, Origin), and on loopback the Host must be a
// loopback address too, which a rebound DNS name is not.
//
// All limits are fixed: 64 connections, 16 KiB of header, 64 KiB of body, 5 s
// for a head, 30 s for an answer and 5 minutes for a profile.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
)

const (
	maxConnections = 64
	maxHeader      = 16 << 10
	maxBody        = 64 << 10
	headTimeout    = 5 * time.Second
	answerTimeout  = 30 * time.Second
	profileTimeout = 5 * time.Minute
	idleTimeout    = 30 * time.Second
	closeTimeout   = 5 * time.Second
)

// Deps is what a Server shows. All fields are required, and the funcs must be
// safe for concurrent use and must not block.
type Deps struct {
	// Ready returns why the tier is not ready, a short sentence each, or nothing
	// when it is.
	Ready func() []string
	// Status returns what /status prints as JSON. No secret may be in it.
	Status func() any
	// Metrics serves /metrics.
	Metrics http.Handler
	// Log gets the errors of the server.
	Log zerolog.Logger
}

// Server is the admin server of one tier.
type Server struct {
	config Config
	deps   Deps
	mux    *http.ServeMux
	token  [sha256.Size]byte // hash of the bearer token; unused without one
	tls    *tls.Config       // nil: clear HTTP
}

// New returns a Server for c, which must be valid. The certificates are read
// here; what is wrong with them is the error.
func New(c Config, deps Deps) (*Server, error) {
	s := &Server{config: c, deps: deps, mux: http.NewServeMux(), token: sha256.Sum256(c.Token.Reveal())}
	if c.TLS != nil {
		conf, err := newTLS(*c.TLS, deps.Log)
		if err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		s.tls = conf
	}
	s.Handle("GET /healthz", http.HandlerFunc(serveHealth))
	s.Handle("GET /readyz", http.HandlerFunc(s.serveReady))
	s.Handle("GET /status", http.HandlerFunc(s.serveStatus))
	s.Handle("GET /metrics", deps.Metrics)
	if c.Pprof {
		// The package also registers itself with http.DefaultServeMux, which
		// nothing in Ergo serves.
		s.mux.Handle("GET /debug/pprof/", limit(profileTimeout, http.HandlerFunc(pprof.Index)))
		s.mux.Handle("GET /debug/pprof/cmdline", limit(answerTimeout, http.HandlerFunc(pprof.Cmdline)))
		s.mux.Handle("GET /debug/pprof/profile", limit(profileTimeout, http.HandlerFunc(pprof.Profile)))
		s.mux.Handle("POST /debug/pprof/symbol", limit(answerTimeout, http.HandlerFunc(pprof.Symbol)))
		s.mux.Handle("GET /debug/pprof/symbol", limit(answerTimeout, http.HandlerFunc(pprof.Symbol)))
		s.mux.Handle("GET /debug/pprof/trace", limit(profileTimeout, http.HandlerFunc(pprof.Trace)))
	}
	return s, nil
}

// Handle adds h under pattern, as http.ServeMux takes it, behind the same checks
// as everything else. It must be called before Serve.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mux.Handle(pattern, limit(answerTimeout, h))
}

// Listen opens the admin address. It is apart from Serve so that a port that is
// taken stops the start of a tier. Without an address in the config it returns
// nil, nil.
func (s *Server) Listen() (net.Listener, error) {
	if s.config.Address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", s.config.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	l = netutil.LimitListener(l, maxConnections)
	if s.tls != nil {
		return tls.NewListener(l, s.tls), nil
	}
	return l, nil
}

// Serve answers requests on l, which it closes, until ctx ends; requests in
// flight then have 5 s to end. It returns nil after that. A nil l, as Listen
// returns it when there is no address, waits for ctx.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	s.warnClearToken(l.Addr())
	srv := &http.Server{
		Handler:           s.Handler(l.Addr()),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(serverErrors{s.deps.Log}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		srv.Close() // cuts what did not end in time, such as a profile
	}
	<-served
	return nil
}

// warnClearToken speaks up when a token would cross a network for all to read.
func (s *Server) warnClearToken(addr net.Addr) {
	tcp, ok := addr.(*net.TCPAddr)
	if ok && s.tls == nil && !tcp.IP.IsLoopback() {
		s.deps.Log.Warn().Str("listen", addr.String()).
			Msg("admin token travels in the clear, set admin.tls")
	}
}

// Handler returns all of the server behind its checks. addr is the address it is
// reached at: when that is loopback, only loopback names are taken as Host.
func (s *Server) Handler(addr net.Addr) http.Handler {
	h := http.MaxBytesHandler(s.mux, maxBody)
	h = http.NewCrossOriginProtection().Handler(h)
	h = s.authenticate(h)
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		h = loopbackHostOnly(h)
	}
	return noStore(h)
}

// serverErrors takes the lines that http.Server writes about broken connections
// and panics.
type serverErrors struct{ log zerolog.Logger }

func (e serverErrors) Write(line []byte) (int, error) {
	e.log.Warn().Str("detail", strings.TrimSpace(string(line))).Msg("admin server")
	return len(line), nil
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func loopbackHostOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			http.Error(w, "the admin address answers to localhost and loopback addresses alone", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate asks for the token. The probes go on without it: what runs them
// often cannot hold a secret.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.authorized(r) && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ergo admin"`)
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authorized compares hashes, so that the time it takes tells neither the token
// nor its length.
func (s *Server) authorized(r *http.Request) bool {
	if len(s.config.Token.Reveal()) == 0 {
		return true
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	return strings.EqualFold(kind, "Bearer") && subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// limit bounds how long a body may take to be read and the answer to be written.
// The server has no ReadTimeout and no WriteTimeout of its own: the one would
// end the context of a profile, the other makes net/http/pprof refuse it.
func limit(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, conn := time.Now().Add(d), http.NewResponseController(w)
		err := errors.Join(conn.SetReadDeadline(end), conn.SetWriteDeadline(end))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			http.Error(w, "connection is gone", http.StatusInternalServerError)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"` // why not; left out without the token
}

func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	reasons := s.deps.Ready()
	answer := Readiness{Ready: len(reasons) == 0}
	if s.authorized(r) {
		answer.Reasons = reasons
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.deps.Status())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
