package rules_test

import (
	"net/http"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/rules"
)

// hit is what a cache does for a hit.
func hit(p *rules.Policy, s *rules.Stored, h http.Header, key []byte) (rules.Verdict, bool, []byte) {
	r := rules.ReadRequest(http.MethodGet, h)
	key = p.AppendVariant(key[:0], s.Vary, h)
	v := s.Reuse(p, &r, after(5))
	return v, s.NotModified(&r), key
}

var hits = map[string]http.Header{
	"plain": header("Accept: text/html, */*", "Accept-Encoding: gzip, deflate, br", "User-Agent: x"),
	"reload": header("Cache-Control: max-age=0, max-stale=\"5\"", "Pragma: no-cache",
		`If-None-Match: W/"a", "b"`, "Accept-Encoding: gzip, deflate, br"),
	"old client":      header("Pragma: no-cache", "If-Modified-Since: "+at(noon)),
	"very old client": header("If-Modified-Since: Fri Nov 20 12:00:00 2026"),
}

func TestHitAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	p := policy(t)
	s := stored(t, "Cache-Control: max-age=60, stale-while-revalidate=9", `ETag: "b"`, "Vary: Accept, Accept-Encoding, Cookie")
	for name, h := range hits {
		t.Run(name, func(t *testing.T) {
			key := make([]byte, 0, 256)
			if n := testing.AllocsPerRun(100, func() { _, _, key = hit(p, s, h, key) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	p := policy(b)
	s := stored(b, "Cache-Control: max-age=60", `ETag: "b"`, "Vary: Accept, Accept-Encoding")
	for name, h := range hits {
		b.Run(name, func(b *testing.B) {
			key := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				_, _, key = hit(p, s, h, key)
			}
		})
	}
}

func BenchmarkStore(b *testing.B) {
	p := policy(b)
	r := get()
	resp := response(200, "Cache-Control: public, max-age=60, stale-while-revalidate=10", `ETag: "b"`, "Date: "+at(noon),
		"Vary: Accept-Encoding", lastMonth, "Cache-Tag: a, b, c", "Content-Type: text/html", "Content-Length: 5")
	b.ReportAllocs()
	for b.Loop() {
		s, _ := p.Store(r, resp)
		p.Fields(&s, resp)
	}
}
