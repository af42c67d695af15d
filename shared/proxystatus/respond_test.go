package proxystatus_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

const requestID = "0190a7f2-3333-7444-8555-666677778888"

func respond(method, accept string, e *proxystatus.Error) *http.Response {
	r := httptest.NewRequest(method, "/x", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("WWW-Authenticate", `Bearer realm="x"`)
	proxystatus.Respond(w, r, "edge-1", requestID, e)
	return w.Result()
}

func refused() *proxystatus.Error {
	return proxystatus.New(proxystatus.ConnectionRefused, "core", "dial 10.0.0.7:8443", io.ErrUnexpectedEOF)
}

func TestRespondSaysWhoAndWhyInText(t *testing.T) {
	res := respond("GET", "*/*", refused())
	body, _ := io.ReadAll(res.Body)
	want := "502 Bad Gateway: the next server refused the connection\n" +
		"edge-1: connection_refused at the core, request " + requestID + "\n"
	if res.StatusCode != 502 || string(body) != want {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
	for field, want := range map[string]string{
		"Proxy-Status":           `edge-1; error=connection_refused; details="the next server refused the connection"`,
		"Cache-Control":          "no-store",
		"Content-Type":           "text/plain; charset=utf-8",
		"Content-Length":         strconv.Itoa(len(want)),
		"Content-Encoding":       "",
		"X-Content-Type-Options": "nosniff",
		"X-Request-Id":           requestID,
		"Retry-After":            "",
		"WWW-Authenticate":       `Bearer realm="x"`,
	} {
		if got := res.Header.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

func TestRespondNeverTellsAddressOrCause(t *testing.T) {
	for _, accept := range []string{"", "application/json"} {
		res := respond("GET", accept, refused())
		body, _ := io.ReadAll(res.Body)
		for _, secret := range []string{"10.0.0.7", "8443", "EOF", "dial"} {
			if strings.Contains(string(body)+res.Header.Get("Proxy-Status"), secret) {
				t.Errorf("Accept %q: the answer tells %q", accept, secret)
			}
		}
	}
}

func TestRespondWithAProblemDocument(t *testing.T) {
	e := refused()
	e.Public, e.Status, e.RetryAfter = `rule "no bots"`, 429, 1500*time.Millisecond
	res := respond("POST", "application/json, text/plain, */*", e)
	var got map[string]any
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"type": "about:blank", "title": "Too Many Requests", "status": 429.0, "detail": `rule "no bots"`,
		"tier": "core", "proxy": "edge-1", "reason": "connection_refused", "request_id": requestID,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if ct, after := res.Header.Get("Content-Type"), res.Header.Get("Retry-After"); ct != "application/problem+json" || after != "2" {
		t.Errorf("Content-Type %q, Retry-After %q", ct, after)
	}
	if got := res.Header.Get("Proxy-Status"); !strings.Contains(got, `details="rule \"no bots\""`) {
		t.Errorf("Proxy-Status is %s", got)
	}
}

func TestRespondToHeadHasNoBody(t *testing.T) {
	res := respond("HEAD", "", refused())
	body, _ := io.ReadAll(res.Body)
	if len(body) != 0 || res.Header.Get("Content-Length") == "0" {
		t.Errorf("body %q, Content-Length %s", body, res.Header.Get("Content-Length"))
	}
}

func TestAcceptDecidesTheForm(t *testing.T) {
	for accept, json := range map[string]bool{
		"":                                false,
		"*/*":                             false,
		"text/html,application/xml,*/*":   false,
		"application/json":                true,
		"APPLICATION/Problem+JSON; q=0.5": true,
		"application/vnd.api+json":        true,
		"application/json;q=0.4, text/plain;q=0.5":       false,
		"application/json;q=0, */*":                      false,
		"application/json;q=nan":                         false,
		"application/json;q=2":                           false,
		strings.Repeat("a/b,", 300) + "application/json": false, // beyond what is looked at
	} {
		res := respond("GET", accept, refused())
		if got := res.Header.Get("Content-Type") == "application/problem+json"; got != json {
			t.Errorf("Accept %.60q gives %s", accept, res.Header.Get("Content-Type"))
		}
	}
}
