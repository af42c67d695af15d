package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ergoproxy/ergo/deploy/stack"
	"github.com/ergoproxy/ergo/shared/telemetry"
)

// upFlags are the command line of `ergo up`.
type upFlags struct {
	options   stack.Options
	backends  []string
	jwtKey    string
	issuer    string
	audience  string
	configOut string
}

func parseUp(args []string, stderr io.Writer) (*upFlags, error) {
	f := new(upFlags)
	flags := newFlags("up", "[flags]", stderr)
	o := &f.options
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "clear `address` of the first edge; each further edge takes the next port, TLS stands 363 above")
	flags.StringVar(&o.Admin, "admin", "127.0.0.1:9901", "admin `address` of the first edge; the other edges, then the cores follow")
	flags.StringVar(&o.Tunnel, "tunnel", "127.0.0.1:7443", "tunnel `address` of the first core; each further core takes the next port")
	flags.IntVar(&o.Edges, "edges", 2, "`number` of edges")
	flags.IntVar(&o.Cores, "cores", 2, "`number` of cores")
	flags.StringVar(&o.Carrier, "carrier", "auto", "what tunnels run over: auto, quic or tcp")
	flags.StringVar(&o.LogLevel, "log-level", "warn", "least severe `level` of the tiers' own logs")
	flags.StringVar(&o.AccessLog, "access-log", "stdout", "where access logs go: stdout, stderr, off or a `file`")
	flags.BoolVar(&o.Pprof, "pprof", false, "serve profiles on the admin addresses")
	flags.Func("backend", "`URL` of a service to put the stack in front of; repeat it for more", func(s string) error {
		f.backends = append(f.backends, s)
		return checkBackend(s)
	})
	flags.StringVar(&f.jwtKey, "jwt-key", "", "`file` with a public key (PEM) or a secret; every request then needs a token")
	flags.StringVar(&f.issuer, "jwt-issuer", "", "issuer (iss) of the tokens, with --jwt-key")
	flags.StringVar(&f.audience, "jwt-audience", "", "audience (aud) of the tokens, with --jwt-key")
	flags.StringVar(&f.configOut, "config-out", "", "`directory` to write configurations and certificates to, for ergo-edge and ergo-core")
	if err := parse(flags, args, 0); err != nil {
		return nil, err
	}
	return f, f.check(flags)
}

func checkBackend(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c") || u.Path != "" && u.Path != "/" {
		return errors.New("want scheme and host, such as http://127.0.0.1:3000 (https and h2c are possible too)")
	}
	return nil
}

func (f *upFlags) check(flags *flag.FlagSet) error {
	problem := ""
	switch o := f.options; {
	case o.Edges < 1 || o.Edges > 16:
		problem = fmt.Sprintf("--edges %d: want 1 to 16", o.Edges)
	case o.Cores < 1 || o.Cores > 16:
		problem = fmt.Sprintf("--cores %d: want 1 to 16", o.Cores)
	case f.jwtKey != "" && (f.issuer == "" || f.audience == ""):
		problem = "--jwt-key needs --jwt-issuer and --jwt-audience: a token of anybody else signed with the same key is refused"
	case f.jwtKey == "" && f.issuer+f.audience != "":
		problem = "--jwt-issuer and --jwt-audience need --jwt-key"
	}
	if problem != "" {
		return misuse(flags, "%s", problem)
	}
	for i, b := range f.backends {
		f.backends[i] = strings.TrimSuffix(b, "/")
	}
	f.options.Backends = f.backends
	if f.jwtKey == "" {
		if len(f.backends) == 0 {
			f.options.TokenPath = "/private/"
		}
		return nil
	}
	return f.useKey()
}

// useKey asks every request for a token that the key in the file verifies.
func (f *upFlags) useKey() error {
	path, err := filepath.Abs(f.jwtKey)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--jwt-key: %w", err)
	}
	algorithms, err := keyAlgorithms(text)
	if err != nil {
		return fmt.Errorf("--jwt-key %s: %w", f.jwtKey, err)
	}
	key := fmt.Sprintf("{file: %q}", path)
	if algorithms == "HS256" {
		key = fmt.Sprintf("{secret: {file: %q}}", path)
	}
	f.options.TokenPath, f.options.TokenKey, f.options.Algorithm = "/", key, algorithms
	f.options.Issuer, f.options.Audience = f.issuer, f.audience
	return nil
}

// keyAlgorithms returns the algorithms for which a key is used, going by its kind.
func keyAlgorithms(text []byte) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "HS256", nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("PEM block %q is no public key, want the output of `openssl pkey -pubout`", block.Type)
	}
	switch key.(type) {
	case *rsa.PublicKey:
		return "RS256, PS256", nil
	case *ecdsa.PublicKey:
		return "ES256", nil
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", fmt.Errorf("a %T cannot be used, want an RSA, ECDSA P-256 or Ed25519 key", key)
}

func runUp(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseUp(args, stderr)
	if err != nil {
		return err
	}
	if f.options.Dir, err = f.directory(); err != nil {
		return err
	}
	if f.configOut == "" {
		defer os.RemoveAll(f.options.Dir)
	}
	level, err := zerolog.ParseLevel(f.options.LogLevel)
	if err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", f.options.LogLevel)
	}
	log := telemetry.NewLogger(stderr, telemetry.LogConfig{Level: level.String(), Format: telemetry.FormatConsole})
	telemetry.WarnOldToolchain(log)
	s, err := stack.New(f.options, log)
	if err != nil {
		return err
	}
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(inner) })
	g.Go(func() error {
		if err := waitReady(inner, s); err != nil {
			return nil // Run tells why, or somebody pressed Ctrl-C
		}
		return f.announce(stdout, s)
	})
	err = g.Wait()
	if ctx.Err() != nil && err == nil {
		fmt.Fprintln(stdout, "drained, bye")
	}
	return err
}

// directory makes the directory for configurations and certificates.
func (f *upFlags) directory() (string, error) {
	if f.configOut == "" {
		return os.MkdirTemp("", "ergo-up-")
	}
	dir, err := filepath.Abs(f.configOut)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}
