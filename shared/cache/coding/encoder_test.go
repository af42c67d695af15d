package coding_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// everyLevel calls f with a Coder for each level of each coding.
func everyLevel(t *testing.T, f func(t *testing.T, c *coding.Coder, as coding.Coding)) {
	ranges := map[coding.Coding][2]int{coding.Gzip: {1, 9}, coding.Brotli: {0, 11}, coding.Zstd: {1, 4}}
	for _, as := range everyCoding {
		for level := ranges[as][0]; level <= ranges[as][1]; level++ {
			if underRace && as == coding.Brotli && level > 5 && level != 9 {
				continue // too slow, and not another use of memory
			}
			t.Run(fmt.Sprintf("%s-%d", as, level), func(t *testing.T) {
				s := settings()
				s.Levels = coding.Levels{Gzip: level, Brotli: level, Zstd: level}
				f(t, coding.New(s), as)
			})
		}
	}
}

func TestRoundTrip(t *testing.T) {
	contents := map[string][]byte{
		"nothing":       {},
		"one byte":      {'x'},
		"a page":        htmlPage(1, 50_000),
		"a long list":   jsonList(1, 200_000),
		"noise":         noise(1, 100_000),
		"many the same": bytes.Repeat([]byte{'a'}, 300_000),
	}
	everyLevel(t, func(t *testing.T, c *coding.Coder, as coding.Coding) {
		for name, content := range contents {
			for _, known := range []bool{true, false} {
				r := rand.New(rand.NewPCG(uint64(len(content)), 7))
				size := int64(-1)
				if known {
					size = int64(len(content))
				}
				var coded bytes.Buffer
				e, err := c.NewWriter(&coded, as, coding.Passing, size)
				if err != nil {
					t.Fatal(err)
				}
				for rest := content; len(rest) > 0; {
					n := min(1+r.IntN(1+r.IntN(40_000)), len(rest))
					if written, err := e.Write(rest[:n]); err != nil || written != n {
						t.Fatalf("%s: wrote %d of %d bytes: %v", name, written, n, err)
					}
					rest = rest[n:]
					if r.IntN(4) == 0 {
						if err := e.Flush(); err != nil {
							t.Fatalf("%s: flush: %v", name, err)
						}
					}
				}
				if err := e.Close(); err != nil {
					t.Fatalf("%s: close: %v", name, err)
				}
				if !bytes.Equal(decode(t, as, coded.Bytes()), content) {
					t.Errorf("%s: decoded content differs", name)
				}
			}
		}
	})
}

// What was flushed can be read while the rest is still to come, and what was
// aborted is seen to lack its end.
func TestFlushedPrefixDecodes(t *testing.T) {
	everyLevel(t, func(t *testing.T, c *coding.Coder, as coding.Coding) {
		content := jsonList(2, 200_000)
		var coded bytes.Buffer
		e, err := c.NewWriter(&coded, as, coding.Passing, -1)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, n := range []int{1, 10, 1000, 70_000, 120_000} {
			if _, err := e.Write(content[at : at+n]); err != nil {
				t.Fatalf("write: %v", err)
			}
			at += n
			if err := e.Flush(); err != nil {
				t.Fatalf("flush: %v", err)
			}
			got, err := io.ReadAll(decoder(t, as, bytes.NewReader(coded.Bytes())))
			if !bytes.Equal(got, content[:at]) {
				t.Fatalf("%d bytes can be read after %d were flushed", len(got), at)
			}
			if err == nil {
				t.Fatalf("after %d bytes there is an end", at)
			}
		}
		n := coded.Len()
		e.Abort()
		if coded.Len() != n {
			t.Errorf("Abort wrote %d bytes", coded.Len()-n)
		}
	})
}

func TestFlushWithoutNewsWritesNothing(t *testing.T) {
	c := coding.New(settings())
	for _, as := range everyCoding {
		var coded bytes.Buffer
		e, err := c.NewWriter(&coded, as, coding.Passing, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(); err != nil || coded.Len() != 0 {
			t.Errorf("%s: flush before the first write: %d bytes, %v", as, coded.Len(), err)
		}
		e.Write([]byte("x"))
		e.Flush()
		n := coded.Len()
		if _, err := e.Write(nil); err != nil {
			t.Errorf("%s: write nothing: %v", as, err)
		}
		if err := e.Flush(); err != nil || coded.Len() != n {
			t.Errorf("%s: second flush: %d bytes, %v", as, coded.Len()-n, err)
		}
		if err := e.Close(); err != nil || string(decode(t, as, coded.Bytes())) != "x" {
			t.Errorf("%s: close: %v, content %q", as, err, coded.Bytes())
		}
	}
}

// Whoever had the codec before, however it ended, the output is the same.
func TestReusedCodecHasNoMemory(t *testing.T) {
	everyLevel(t, func(t *testing.T, c *coding.Coder, as coding.Coding) {
		content := htmlPage(3, 80_000)
		want := encode(t, c, as, coding.Passing, content)
		use := func(w io.Writer, other []byte, end func(*coding.Encoder)) {
			e, err := c.NewWriter(w, as, coding.Passing, -1)
			if err != nil {
				t.Fatal(err)
			}
			e.Write(other)
			end(e)
		}
		before := map[string]func(){
			"the same":          func() { use(io.Discard, content, func(e *coding.Encoder) { e.Close() }) },
			"another":           func() { use(io.Discard, jsonList(3, 300_000), func(e *coding.Encoder) { e.Close() }) },
			"one that ended":    func() { use(io.Discard, content[:5000], (*coding.Encoder).Abort) },
			"one after a flush": func() { use(io.Discard, content[500:7000], func(e *coding.Encoder) { e.Flush(); e.Abort() }) },
			"nothing":           func() { use(io.Discard, nil, func(e *coding.Encoder) { e.Close() }) },
			"one that failed":   func() { use(&failing{after: 1}, noise(3, 300_000), func(e *coding.Encoder) { e.Close() }) },
		}
		for name, f := range before {
			f()
			got := encode(t, c, as, coding.Passing, content)
			if !bytes.Equal(decode(t, as, got), content) {
				t.Errorf("after %s, decoded content differs", name)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("after %s, the output has %d bytes and not the %d of a new encoder, or others", name, len(got), len(want))
			}
		}
	})
}

// failing fails after some writes.
type failing struct{ after int }

var errFailing = errors.New("client gone")

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errFailing
	}
	return len(p), nil
}

func TestErrorOfTheWriterBelowComesThrough(t *testing.T) {
	everyLevel(t, func(t *testing.T, c *coding.Coder, as coding.Coding) {
		for after := range 2 {
			e, err := c.NewWriter(&failing{after: after}, as, coding.Passing, -1)
			if err != nil {
				t.Fatal(err)
			}
			var first error
			for i := uint64(0); i < 5 && first == nil; i++ {
				if _, first = e.Write(noise(i, 50_000)); first == nil {
					first = e.Flush()
				}
			}
			if !errors.Is(first, errFailing) {
				t.Errorf("write and flush: %v", first)
			}
			if err := e.Close(); !errors.Is(err, errFailing) {
				t.Errorf("close: %v", err)
			}
		}
		if s := c.Stats(); s.Running != 0 {
			t.Errorf("%d still run", s.Running)
		}
	})
}

func TestEndedEncoderRefuses(t *testing.T) {
	c := coding.New(settings())
	ends := map[string]func(*coding.Encoder){"closed": func(e *coding.Encoder) { e.Close() }, "aborted": (*coding.Encoder).Abort}
	for _, as := range everyCoding {
		for name, end := range ends {
			var out bytes.Buffer
			e, err := c.NewWriter(&out, as, coding.Stored, 3)
			if err != nil {
				t.Fatal(err)
			}
			e.Write([]byte("abc"))
			end(e)
			n := out.Len()
			if _, err := e.Write([]byte("x")); !errors.Is(err, coding.ErrClosed) {
				t.Errorf("%s, %s: write: %v", as, name, err)
			}
			if err := e.Flush(); !errors.Is(err, coding.ErrClosed) {
				t.Errorf("%s, %s: flush: %v", as, name, err)
			}
			if err := e.Close(); !errors.Is(err, coding.ErrClosed) {
				t.Errorf("%s, %s: close: %v", as, name, err)
			}
			e.Abort()
			if s := c.Stats(); s.Running != 0 || out.Len() != n {
				t.Errorf("%s, %s: %d run, %d bytes written", as, name, s.Running, out.Len()-n)
			}
		}
	}
}

func TestNewWriterRefusesWhatItCannotEncode(t *testing.T) {
	s := settings()
	s.MaxConcurrent = 1
	c := coding.New(s)
	for _, as := range []coding.Coding{identity, "deflate", ""} {
		if e, err := c.NewWriter(io.Discard, as, coding.Passing, -1); err == nil || errors.Is(err, coding.ErrBusy) || e != nil {
			t.Errorf("%q: %v", as, err)
		}
	}
	if stats := c.Stats(); stats != (coding.Stats{}) {
		t.Errorf("a place is taken: %+v", stats)
	}
}

// RFC 9659, section 3: a window above 8 MB is not to be used.
func TestZstdWindow(t *testing.T) {
	everyLevel(t, func(t *testing.T, c *coding.Coder, as coding.Coding) {
		if as != coding.Zstd {
			t.Skip("gzip and br have smaller windows")
		}
		long := jsonList(5, 2<<20)
		for _, size := range []int64{-1, int64(len(long))} {
			var coded bytes.Buffer
			e, err := c.NewWriter(&coded, as, coding.Passing, size)
			if err != nil {
				t.Fatal(err)
			}
			e.Write(long)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			var h zstd.Header
			if err := h.Decode(coded.Bytes()); err != nil || h.WindowSize == 0 || h.WindowSize > 1<<20 {
				t.Errorf("window of %d bytes, %v", h.WindowSize, err)
			}
			if h.HasFCS != (size >= 0) || h.HasFCS && h.FrameContentSize != uint64(size) {
				t.Errorf("length %d in the frame: %t, %d", size, h.HasFCS, h.FrameContentSize)
			}
		}
	})
}

func TestZstdRefusesContentOfAnotherLength(t *testing.T) {
	c := coding.New(settings())
	e, err := c.NewWriter(io.Discard, coding.Zstd, coding.Passing, 1000)
	if err != nil {
		t.Fatal(err)
	}
	e.Write(make([]byte, 999))
	if err := e.Close(); err == nil {
		t.Error("999 bytes of 1000 have a good end")
	}
	if s := c.Stats(); s.Running != 0 {
		t.Errorf("%d still run", s.Running)
	}
}

func TestGzipHasNoTimeAndNoName(t *testing.T) {
	coded := encode(t, coding.New(settings()), coding.Gzip, coding.Passing, htmlPage(1, 5000))
	if flags, modified := coded[3], binary.LittleEndian.Uint32(coded[4:8]); flags != 0 || modified != 0 {
		t.Errorf("flags %#x, time %d", flags, modified)
	}
}

func TestStoredLevelsAreForWhatIsStored(t *testing.T) {
	s := settings()
	s.Levels = coding.Levels{Gzip: 1, Brotli: 1, Zstd: 1}
	s.StoredLevels = coding.Levels{Gzip: 9, Brotli: 9, Zstd: 3}
	c := coding.New(s)
	content := htmlPage(6, 100_000)
	for _, as := range everyCoding {
		passing, stored := encode(t, c, as, coding.Passing, content), encode(t, c, as, coding.Stored, content)
		if len(stored) >= len(passing) {
			t.Errorf("%s: %d bytes stored, %d passing", as, len(stored), len(passing))
		}
	}
}

func TestTooManyAnswersAreRefusedAtOnce(t *testing.T) {
	s := settings()
	s.MaxConcurrent = 2
	c := coding.New(s)
	var running []*coding.Encoder
	for _, as := range everyCoding[:2] {
		e, err := c.NewWriter(io.Discard, as, coding.Passing, -1)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, e)
	}
	for range 3 {
		if e, err := c.NewWriter(io.Discard, coding.Gzip, coding.Passing, -1); !errors.Is(err, coding.ErrBusy) || e != nil {
			t.Fatalf("a third one: %v", err)
		}
	}
	if got, want := c.Stats(), (coding.Stats{Running: 2, Refused: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, e := range running {
		e.Abort()
		e.Abort() // frees no second place
	}
	for range 2 {
		if _, err := c.NewWriter(io.Discard, coding.Gzip, coding.Passing, -1); err != nil {
			t.Fatalf("after an end: %v", err)
		}
	}
	if _, err := c.NewWriter(io.Discard, coding.Gzip, coding.Passing, -1); !errors.Is(err, coding.ErrBusy) {
		t.Errorf("a third one again: %v", err)
	}
}

// Idle encoders count: what exists never exceeds the limit, whatever the kinds.
func TestIdleEncodersStayWithinTheLimit(t *testing.T) {
	for _, limit := range []int{1, 3, 100} {
		s := settings()
		s.MaxConcurrent = limit
		c := coding.New(s)
		r := rand.New(rand.NewPCG(9, 9))
		var running []*coding.Encoder
		for range 300 {
			if r.IntN(2) == 0 || len(running) == limit {
				for range min(len(running), 1+r.IntN(4)) {
					running[0].Abort()
					running = running[1:]
				}
			} else {
				as := everyCoding[r.IntN(3)]
				e, err := c.NewWriter(io.Discard, as, coding.Effort(r.IntN(2)), -1)
				if err != nil {
					t.Fatal(err)
				}
				running = append(running, e)
			}
			if got := c.Stats(); got.Running != len(running) || got.Running+got.Idle > limit || got.Idle > 16 {
				t.Fatalf("limit %d, %d under way: %+v", limit, len(running), got)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := settings()
	s.MaxConcurrent = 3
	c := coding.New(s)
	var all sync.WaitGroup
	for i := range uint64(8) {
		all.Go(func() {
			content := htmlPage(i, 20_000)
			for j := range 20 {
				as := everyCoding[(int(i)+j)%3]
				var coded bytes.Buffer
				e, err := c.NewWriter(&coded, as, coding.Effort(j%2), -1)
				if errors.Is(err, coding.ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				e.Write(content)
				if err := e.Close(); err != nil || !bytes.Equal(decode(t, as, coded.Bytes()), content) {
					t.Errorf("%s: decoded content differs, %v", as, err)
				}
			}
		})
	}
	all.Wait()
	if got := c.Stats(); got.Running != 0 || got.Idle > 3 {
		t.Errorf("at the end: %+v", got)
	}
}
