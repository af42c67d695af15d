package l2_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/core/l2"
	"github.com/ergoproxy/ergo/shared/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is how long a test waits for what must happen.
const wait = 15 * time.Second

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-tick.C
	}
}

// server is a redis-server on a socket of its own. It can be killed and started
// again, and then has forgotten everything.
type server struct {
	t      testing.TB
	dir    string
	args   []string
	cmd    *exec.Cmd
	client *redis.Client // to look and to meddle
}

// startServer starts a redis-server until the test ends, or skips.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if slices.Contains(strings.Split(os.Getenv("ERGO_REQUIRE"), ","), "redis") {
			t.Fatalf("ERGO_REQUIRE lists redis: %v", err)
		}
		t.Skipf("no redis: %v", err)
	}
	dir, err := os.MkdirTemp("", "l2") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, args: args}
	s.client = redis.NewClient(&redis.Options{
		Network: "unix", Addr: s.socket(), Protocol: 2, DisableIdentity: true, MaxRetries: -1,
	})
	t.Cleanup(func() {
		_ = s.client.Close()
		s.kill()
		_ = os.RemoveAll(dir)
	})
	s.start()
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "redis.sock") }

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", "0", "--unixsocket", s.socket(), "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server answers", func() bool {
		err := s.client.Ping(context.Background()).Err()
		return err == nil || redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS")
	})
}

// kill ends the server without a word to its clients.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// pause makes the server hang: it takes connections, by its kernel, and bytes, and
// says nothing.
func (s *server) pause()  { s.signal(syscall.SIGSTOP) }
func (s *server) resume() { s.signal(syscall.SIGCONT) }

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// keys returns the names of the values that are there.
func (s *server) keys() []string {
	s.t.Helper()
	keys, err := s.client.Keys(context.Background(), "test:v1:*").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// do sends a command.
func (s *server) do(args ...any) {
	s.t.Helper()
	if err := s.client.Do(context.Background(), args...).Err(); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
}

var errUnknownKey = errors.New("unknown key")

// sealer seals with AES-GCM under the first of its keys.
type sealer [][32]byte

func newSealer(keys ...byte) sealer {
	var s sealer
	for _, k := range keys {
		s = append(s, sha256.Sum256([]byte{k}))
	}
	return s
}

func gcm(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (s sealer) Seal(dst, plaintext, context []byte) []byte {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	dst = append(append(dst, s[0][0]), nonce...)
	return gcm(s[0]).Seal(dst, nonce, plaintext, context)
}

func (s sealer) Open(dst, sealed, context []byte) ([]byte, error) {
	if len(sealed) < 13 {
		return dst, errors.New("too short")
	}
	for _, key := range s {
		if key[0] == sealed[0] {
			return gcm(key).Open(dst, sealed[1:13], sealed[13:], context)
		}
	}
	return dst, fmt.Errorf("%w: %x", errUnknownKey, sealed[0])
}

func (s sealer) Names(dst [][32]byte, data []byte) [][32]byte {
	for _, key := range s {
		mac := hmac.New(sha256.New, key[:])
		mac.Write(data)
		dst = append(dst, [32]byte(mac.Sum(nil)))
	}
	return dst
}

// newConfig returns a config for a server with a budget that a busy machine does
// not use up.
func newConfig(address string) l2.Config {
	var cfg l2.Config
	cfg.SetDefaults()
	cfg.Address = address
	cfg.Prefix = "test:"
	cfg.Budget = config.Duration(time.Second)
	cfg.Timeout = config.Duration(2 * time.Second)
	cfg.BatchDelay = 0
	cfg.Breaker.CoolDown = config.Duration(20 * time.Millisecond)
	return cfg
}

// change alters a config or what the Store needs.
type change func(cfg *l2.Config, deps *l2.Deps)

// sealWith makes the Store seal with the first of some keys.
func sealWith(keys ...byte) change {
	return func(_ *l2.Config, deps *l2.Deps) { deps.Sealer = newSealer(keys...) }
}

// newStore returns a Store that runs until the test ends.
func newStore(t testing.TB, address string, changes ...change) *l2.Store {
	t.Helper()
	s := newIdleStore(t, address, changes...)
	run(t, s)
	return s
}

func newIdleStore(t testing.TB, address string, changes ...change) *l2.Store {
	t.Helper()
	cfg, deps := newConfig(address), l2.Deps{Sealer: newSealer(1), UnknownKey: errUnknownKey}
	for _, c := range changes {
		c(&cfg, &deps)
	}
	var r config.Report
	cfg.Validate(&r)
	if problems := r.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := l2.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t testing.TB, s *l2.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(wait):
			t.Error("Run does not end")
		}
	})
}

// connect returns a server, and a Store that uses it.
func connect(t testing.TB, changes ...change) (*server, *l2.Store) {
	t.Helper()
	srv := startServer(t)
	s := newStore(t, "unix://"+srv.socket(), changes...)
	up(t, s)
	return srv, s
}

func up(t testing.TB, s *l2.Store) {
	t.Helper()
	eventually(t, "the server is used", func() bool { return s.Status().Up })
}

// value returns a value that expires in an hour.
func value(body string) l2.Value {
	return l2.Value{
		Head:    []byte("200 OK"),
		Body:    []byte(body),
		Tags:    []string{"tag"},
		Epoch:   7,
		Expires: time.Now().Add(time.Hour),
	}
}

// store puts a value and waits until Redis has it.
func store(t testing.TB, s *l2.Store, key string, v l2.Value) {
	t.Helper()
	before := s.Stats().Written.Load()
	if !s.Put([]byte(key), v) {
		t.Fatalf("value of %s is not taken", key)
	}
	eventually(t, "the value is written", func() bool { return s.Stats().Written.Load() > before })
}

// want gets a key and checks the outcome.
func want(t testing.TB, s *l2.Store, key string, outcome l2.Outcome) l2.Value {
	t.Helper()
	v, got := s.Get(context.Background(), []byte(key))
	if got != outcome {
		t.Fatalf("%s: %v, want %v (%+v)", key, got, outcome, s.Status())
	}
	return v
}
