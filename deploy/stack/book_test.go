package stack_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// An entry is what the access log must say about one exchange.
type entry struct {
	Status      int    `json:"status"`
	Aborted     string `json:"aborted"`
	ProxyStatus string `json:"proxy_status"`

	or *entry // that is right too

	unknown bool // the exchange was begun, and nobody has said how it must end
	refused bool // by the edge: no core saw it
}

func (e entry) String() string {
	return fmt.Sprintf("status %d, aborted %q, proxy_status %q", e.Status, e.Aborted, e.ProxyStatus)
}

// allows reports whether the log may say got.
func (e entry) allows(got entry) bool {
	return got.String() == e.String() || e.or != nil && e.or.allows(got)
}

// A line is what was read of an access log.
type line struct {
	entry
	Agent    string `json:"user_agent"`
	Exchange string `json:"exchange"`
	Detail   string `json:"detail"`
	Client   string `json:"client"`
	Trace    string `json:"trace"`
	Carrier  string `json:"carrier"`
	Attempt  int    `json:"attempt"`
}

// A book is the tests' own record of their exchanges, by the User-Agent that each
// has for itself. In the end it is compared with the access logs of both tiers.
type book struct {
	edgeLog  string
	coreLogs []string
	number   atomic.Int64

	mu      sync.Mutex
	entries map[string]entry
}

func newBook(edgeLog string, coreLogs ...string) *book {
	return &book{edgeLog: edgeLog, coreLogs: coreLogs, entries: make(map[string]entry)}
}

// agent returns a User-Agent for one exchange, whose line is expected from now on.
func (b *book) agent(t testing.TB) string {
	agent := fmt.Sprintf("%s#%d", t.Name(), b.number.Add(1))
	b.expect(agent, entry{unknown: true})
	return agent
}

// expect says what the line of the exchange must be.
func (b *book) expect(agent string, e entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[agent] = e
}

// rename is for clients that change the User-Agent, and expect for the new name.
func (b *book) rename(agent, to string, e entry) {
	b.mu.Lock()
	delete(b.entries, agent)
	b.mu.Unlock()
	b.expect(to, e)
}

// forget takes an exchange out that the listener refuses before it has a
// User-Agent.
func (b *book) forget(agent string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, agent)
}

// answered says that the exchange got an answer, unless expect was called for it.
func (b *book) answered(agent string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[agent].unknown {
		b.entries[agent] = entry{Status: status}
	}
}

// check compares the book with the logs. The tiers must have stopped.
func (b *book) check(t testing.TB) {
	t.Helper()
	edge, core := byAgent(t, b.edgeLog), byAgent(t, b.coreLogs...)
	for agent, want := range b.entries {
		lines := edge[agent]
		if len(lines) != 1 {
			t.Errorf("%s: %d lines in the edge's access log, want 1: %+v", agent, len(lines), lines)
			continue
		}
		got := lines[0]
		if want.unknown {
			t.Errorf("%s: nobody has said how it ends; log: %v", agent, got.entry)
		} else if !want.allows(got.entry) {
			t.Errorf("%s: logged %v (%s), want %v", agent, got.entry, got.Detail, want)
		}
		b.checkCore(t, agent, got.Exchange, core[agent], want.refused)
	}
	for agent := range edge {
		if _, ok := b.entries[agent]; !ok && agent != "" {
			t.Errorf("edge logged an exchange that nobody began: %s", agent)
		}
	}
}

// checkCore wants one line of the core for each attempt that the edge has made.
func (b *book) checkCore(t testing.TB, agent, exchange string, lines []line, refused bool) {
	t.Helper()
	if refused != (len(lines) == 0) {
		t.Errorf("%s: %d lines in the core's access log", agent, len(lines))
	}
	attempts := make(map[int]bool)
	for _, l := range lines {
		if l.Exchange != exchange || attempts[l.Attempt] {
			t.Errorf("%s: edge says exchange %s, core %s, attempt %d", agent, exchange, l.Exchange, l.Attempt)
		}
		attempts[l.Attempt] = true
	}
}

func byAgent(t testing.TB, paths ...string) map[string][]line {
	t.Helper()
	found := make(map[string][]line)
	for _, path := range paths {
		for _, l := range readLog(t, path) {
			found[l.Agent] = append(found[l.Agent], l)
		}
	}
	return found
}

// readLog reads an access log.
func readLog(t testing.TB, path string) []line {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer f.Close()
	var lines []line
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Errorf("%s: %v: %s", path, err, scan.Text())
		}
		lines = append(lines, l)
	}
	return lines
}
