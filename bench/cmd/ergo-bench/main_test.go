package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestWrongCallsExitWith2(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"", "usage: ergo-bench"},
		{"lan", "usage: ergo-bench"},
		{"loop extra", `unexpected argument "extra"`},
		{"loop --speed 9", "-speed"},
		{"loop --peers apache", `no peer "apache", want nginx, haproxy-h1, haproxy-h2 or none`},
		{"loop --peers nginx,", `no peer ""`},
		{"loop --connections 0", "connections: 0, want 1 to 1000"},
		{"loop --connections many", "invalid syntax"},
		{"loop --connections none", "connections: none given"},
		{"loop --sizes 1KB", `"1KB" is no size`},
		{"loop --rounds 0", "rounds: 0"},
		{"loop --duration 4", `"4" is no duration, want a number with a unit`},
		{"loop --ergo-edge /bin/true", "give both or none"},
		{"wan --only matrix,moon", `no set "moon", want some of matrix, bottleneck`},
		{"wan --systems ergo,apache", `no system "apache"`},
		{"wan --systems none", "systems: none given"},
		{"wan --systems ergo,ergo", "ergo twice"},
		{"wan --losses 1,many", `"many" is no loss`},
		{"wan --losses 51", "loss: 51 %, want 0 to 50"},
		{"wan --losses NaN", "loss: NaN %"},
		{"wan --rtts 80", `"80" is no duration`},
		{"wan --rtts 3s", "round-trip time: 3s"},
		{"wan --workloads 1KiB", `"1KiB" is no workload`},
		{"wan --workloads 1KiB@fast", `rate "fast"`},
		{"wan --workloads 1KiB@NaN", `rate "NaN"`},
		{"wan --workloads 2GiB@1", "bodies of 2147483648 bytes"},
		{"wan --duration 1ms", "duration: 1ms"},
		{"wan --rounds 0", "rounds: 0"},
		{"wan --ergo-core /bin/true", "give both or none"},
		{"soak", "nothing to do"},
		{"soak --idle 100000", "idle connections: 100000, want 1 to 60000"},
		{"soak --idle 10 --idle-protocols h2c", `no protocol "h2c", want h1, h1+tls, h2, h3`},
		{"soak --duration 1s", "duration: 1s, want 4s to 24h"},
		{"soak --duration 10s --rate 0", "rate: 0/s, want 1 to 2000"},
		{"backend --port 1", "-port"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(row.args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), row.want) {
			t.Errorf("%q: exit code %d, stderr %q; want %q", row.args, code, stderr.String(), row.want)
		}
		if stdout.Len() > 0 {
			t.Errorf("%q: stdout %q", row.args, stdout.String())
		}
	}
}

func TestHelpListsFlags(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"loop", "--help"}, io.Discard, &stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, flag := range []string{"-duration", "-rounds", "-peers", "-json", "-connections", "-sizes", "-pprof"} {
		if !strings.Contains(stderr.String(), flag) {
			t.Errorf("help lacks %s", flag)
		}
	}
}

func TestBackendServesUntilStopped(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"backend", "--name", "green"}, in, &stderr) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(strings.TrimSpace(string(line[:n])) + "/status/200")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Demo-Backend"); got != "green" {
		t.Errorf("Demo-Backend %q", got)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %s", got, stderr.String())
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"backend", "--listen", "127.0.0.1:99999"}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "99999") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}
