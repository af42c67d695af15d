package report_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/deploy/require"
)

// A chromium is a browser without a window. It is spoken to in the DevTools
// protocol over two pipes: JSON, each message ended by a zero byte.
//
// It is for one goroutine.
type chromium struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	stderr  bytes.Buffer
	session string // of the page; empty: the browser itself
	calls   int
	events  []message // that came while something else was waited for
}

// A message is a call, its answer or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browserTime bounds the life of a browser.
const browserTime = 2 * time.Minute

// newChromium starts a browser with one empty page. It ends with the test.
func newChromium(t *testing.T) *chromium {
	program, err := exec.LookPath("chromium")
	if err == nil && runtime.GOOS == "windows" {
		err = errors.New("no pipes to it on Windows")
	}
	require.Have(t, "chromium", err)
	c := &chromium{t: t}
	c.start(program)
	var target struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		c.call(domain+".enable", nil, nil)
	}
	return c
}

// start runs the program until the test ends.
func (c *chromium) start(program string) {
	t := c.t
	fromUs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromIt, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	// The test's own context ends before its clean-up, and would kill what is about to end by itself.
	ctx, kill := context.WithTimeout(context.WithoutCancel(t.Context()), browserTime)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(),
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad", "--hide-scrollbars", "about:blank")
	cmd.ExtraFiles = []*os.File{fromUs, fromIt} // 3 and 4 over there
	cmd.Stderr = &c.stderr                      // Wait then waits for all its processes
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Start()
	fromUs.Close()
	fromIt.Close()
	if err != nil {
		kill()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // it ends when nobody speaks to it any more
		timer := time.AfterFunc(10*time.Second, kill)
		_ = cmd.Wait() // how it ends is no matter
		timer.Stop()
		kill()
		out.Close()
	})
}

// call waits for the answer to a call, and puts it into result unless that is
// nil.
func (c *chromium) call(method string, params map[string]any, result any) {
	c.t.Helper()
	c.calls++
	m := message{ID: c.calls, Session: c.session, Method: method}
	if params != nil {
		m.Params = params
	}
	content, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(content, 0)); err != nil {
		c.t.Fatalf("%s: %v\n%s", method, err, &c.stderr)
	}
	for {
		answer := c.read()
		switch {
		case answer.ID != m.ID:
			c.events = append(c.events, answer)
		case answer.Error != nil:
			c.t.Fatalf("%s: %s", method, answer.Error.Message)
		default:
			if result == nil {
				return
			}
			if err := json.Unmarshal(answer.Result, result); err != nil {
				c.t.Fatalf("%s: %v: %s", method, err, answer.Result)
			}
			return
		}
	}
}

func (c *chromium) read() (m message) {
	c.t.Helper()
	content, err := c.out.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(bytes.TrimSuffix(content, []byte{0}), &m)
	}
	if err != nil {
		c.t.Fatalf("read from chromium: %v\n%s", err, &c.stderr)
	}
	return m
}

// wait returns once an event has come, now or since the last open.
func (c *chromium) wait(event string) {
	c.t.Helper()
	for _, e := range c.events {
		if e.Method == event {
			return
		}
	}
	for {
		e := c.read()
		c.events = append(c.events, e)
		if e.Method == event {
			return
		}
	}
}

// A view is how a reader looks at a page.
type view struct {
	width  int
	scheme string // "light", "dark"
	plain  bool   // without scripts
}

func (v view) String() string {
	if v.plain {
		return fmt.Sprintf("%s-%d-without-script", v.scheme, v.width)
	}
	return fmt.Sprintf("%s-%d", v.scheme, v.width)
}

// open loads a file and returns everything that the page asked for or
// complained about.
func (c *chromium) open(path string, v view) []string {
	c.t.Helper()
	c.events = nil
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": v.width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": v.scheme}}}, nil)
	c.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": v.plain}, nil)
	url := "file://" + path
	c.call("Page.navigate", map[string]any{"url": url}, nil)
	c.wait("Page.loadEventFired")
	if !v.plain {
		// Until the next frame, so that what the script began is among the events.
		c.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))", nil)
	}
	return c.complaints(url)
}

// complaints returns the events that a page of its own must not cause.
func (c *chromium) complaints(url string) []string {
	var found []string
	for _, e := range c.events {
		params, err := json.Marshal(e.Params)
		if err != nil {
			c.t.Fatal(err)
		}
		switch e.Method {
		case "Network.requestWillBeSent":
			var sent struct{ Request struct{ URL string } }
			if err := json.Unmarshal(params, &sent); err != nil {
				c.t.Fatal(err)
			}
			if sent.Request.URL != url {
				found = append(found, "request: "+sent.Request.URL)
			}
		case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
			found = append(found, e.Method+": "+string(params))
		}
	}
	return found
}

// evaluate runs a script in the page, waits for what it promises, and puts its
// value into result unless that is nil.
func (c *chromium) evaluate(script string, result any) {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	c.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		c.t.Fatalf("%s: %s", script, answer.ExceptionDetails.Exception.Description)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		c.t.Fatalf("%s: %v: %s", script, err, answer.Result.Value)
	}
}

// photograph keeps a picture of the whole page in a file; `go test -artifacts`
// says where.
func (c *chromium) photograph(file string) {
	c.t.Helper()
	var size struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	c.call("Page.getLayoutMetrics", nil, &size)
	const most = 16000 // pixels, of Chromium
	clip := map[string]any{"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": min(most, size.CSSContentSize.Height), "scale": 1}
	var picture struct{ Data []byte }
	c.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true, "clip": clip}, &picture)
	if err := os.WriteFile(file, picture.Data, 0o644); err != nil {
		c.t.Fatal(err)
	}
}
