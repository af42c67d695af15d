package coding_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// The order of the calls, with an answer that a backend has given.
func ExampleCoder() {
	var s coding.Settings
	s.SetDefaults()
	s.Enabled = true
	coder := coding.New(s)

	serve := func(w http.ResponseWriter, r *http.Request) {
		h, body := w.Header(), strings.Repeat("All work and no play. ", 100)
		h.Set("Content-Type", "text/plain")
		h.Set("Etag", `"1"`)

		as, why := coder.Choose(r.Method, r.Header, http.StatusOK, h)
		var out io.Writer = w
		if as != coding.Identity && r.Method != http.MethodHead {
			e, err := coder.NewWriter(w, as, coding.Passing, int64(len(body)))
			switch {
			case errors.Is(err, coding.ErrBusy):
				as, why = coding.Identity, coding.Busy
			case err != nil:
				panic(err)
			default:
				defer e.Abort() // unless it is closed
				out = e
			}
		}
		if why.Negotiated() {
			coding.Apply(h, as)
		}
		w.WriteHeader(http.StatusOK)
		io.WriteString(out, body)
		if e, ok := out.(*coding.Encoder); ok {
			if err := e.Close(); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}

	for _, accept := range []string{"gzip", "deflate"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", accept)
		serve(w, r)
		fmt.Printf("%q %q %q %t\n", w.Header().Get("Content-Encoding"), w.Header().Get("Etag"), w.Header().Get("Vary"), w.Body.Len() < 200)
	}
	// Output:
	// "gzip" "W/\"1\"" "Accept-Encoding" true
	// "" "\"1\"" "Accept-Encoding" false
}
