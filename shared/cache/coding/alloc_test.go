package coding_test

import (
	"io"
	"testing"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// allocations fails unless f allocates at most want times.
func allocations(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if underRace {
		t.Skip("the race detector allocates")
	}
	if got := testing.AllocsPerRun(100, f); got > want {
		t.Errorf("%s allocates %v times, want %v", what, got, want)
	}
}

func TestNegotiationMakesNoGarbage(t *testing.T) {
	c := coding.New(settings())
	accept := "deflate, GZIP;q=0.8 , x-gzip;q=0.9, br;q=0.95, zstd;q=1.000, *;q=0.1"
	req := fields("Accept-Encoding", accept, "Cache-Control", `max-age=0, x="a, b"`)
	h := with(page, "Cache-Control", `public, x="a, b"`)
	h["Content-Type"] = []string{"application/vnd.example.a+json; charset=utf-8"}
	h["Content-Encoding"] = []string{"identity"}
	for _, method := range []string{"GET", "HEAD"} {
		allocations(t, "Choose for "+method, 0, func() {
			if _, why := c.Choose(method, req, 200, h); why != coding.Coded {
				t.Fatal(why)
			}
		})
	}
	allocations(t, "Normalise", 0, func() {
		if coding.Normalise(accept, everyCoding) != "zstd" {
			t.Fatal("another normal form")
		}
	})
	allocations(t, "Variant", 0, func() {
		if v, _ := c.Variant(req); v != "zstd" {
			t.Fatal("another normal form")
		}
	})
}

func TestIdleCodecsSaveGarbage(t *testing.T) {
	c := coding.New(settings())
	content := htmlPage(1, 30_000)
	for _, as := range everyCoding {
		allocations(t, string(as), 10, func() { // the Encoder
			e, err := c.NewWriter(io.Discard, as, coding.Passing, int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			e.Write(content)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
