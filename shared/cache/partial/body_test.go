package partial_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ergoproxy/ergo/shared/cache/partial"
)

// content is the representation of these tests; no two places in it look alike.
var content = func() string {
	var b strings.Builder
	for i := 0; b.Len() < 1000; i++ {
		fmt.Fprintf(&b, "%04d,", i)
	}
	return b.String()[:1000]
}()

// chunks is a representation that is stored in slices of one length. A chunk is
// there once its channel is closed.
type chunks struct {
	data   string
	chunk  int
	ready  []chan struct{} // nil: all are there
	end    error           // what comes behind the data that is there
	buffer []byte
}

func stored(size, chunk int) *chunks { return &chunks{data: content[:size], chunk: chunk} }

// arriving returns a representation of 1000 bytes of which nothing is there yet.
func arriving(chunk int) *chunks {
	c := stored(1000, chunk)
	for range (1000 + chunk - 1) / chunk {
		c.ready = append(c.ready, make(chan struct{}))
	}
	return c
}

func (c *chunks) At(ctx context.Context, off int64) ([]byte, error) {
	if off < 0 || off >= int64(len(c.data)) {
		if c.end != nil {
			return nil, c.end
		}
		return nil, fmt.Errorf("offset %d is outside", off)
	}
	i := int(off) / c.chunk
	if c.ready != nil {
		select {
		case <-c.ready[i]:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	to := len(c.data)
	if c.chunk < to-i*c.chunk {
		to = (i + 1) * c.chunk
	}
	clear(c.buffer) // the slice of the last call is not valid any more
	c.buffer = []byte(c.data[off:to])
	return c.buffer, nil
}

// body returns the body of an answer from 1000 bytes.
func body(t *testing.T, ctx context.Context, source partial.Source, field string) *partial.Body {
	t.Helper()
	a, err := get("Range", field).Plan(nil, 1000).Answer(nil, zeros{})
	if err != nil || a.Status != http.StatusPartialContent {
		t.Fatalf("%d, %v", a.Status, err)
	}
	return a.Body(ctx, source)
}

func TestPartIsSentAsSoonAsItsBytesAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := arriving(100)
		b := body(t, t.Context(), source, "bytes=150-349")
		got, sent := "", make(chan error)
		go func() {
			var s strings.Builder
			_, err := b.WriteTo(writerFunc(func(p []byte) (int, error) {
				got += string(p)
				return s.Write(p)
			}))
			sent <- err
		}()
		for _, step := range []struct{ chunk, to int }{{3, 150}, {1, 200}, {2, 350}} {
			close(source.ready[step.chunk])
			synctest.Wait()
			if got != content[150:step.to] {
				t.Fatalf("with chunk %d: %q, want %q", step.chunk, got, content[150:step.to])
			}
			if step.to == 350 {
				break
			}
			select {
			case err := <-sent:
				t.Fatalf("ended early: %v", err)
			default:
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWaitingForBytesEndsWithTheContext(t *testing.T) {
	gone := errors.New("client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	b := body(t, ctx, arriving(100), "bytes=0-9")
	cancel(gone)
	for range 2 {
		if n, err := b.Read(make([]byte, 10)); n != 0 || !errors.Is(err, gone) {
			t.Errorf("%d, %v, want %v", n, err, gone)
		}
	}
}

func TestSourceThatEndsEarlyBreaksTheBodyOff(t *testing.T) {
	broken := errors.New("backend broke off")
	for end, want := range map[error]error{io.EOF: io.ErrUnexpectedEOF, broken: broken} {
		source := stored(100, 30)
		source.end = end
		got, err := io.ReadAll(body(t, t.Context(), source, "bytes=50-149"))
		if string(got) != content[50:100] || !errors.Is(err, want) {
			t.Errorf("%q, %v, want %v", got, err, want)
		}
		n, err := body(t, t.Context(), source, "bytes=50-149").WriteTo(io.Discard)
		if n != 50 || !errors.Is(err, want) {
			t.Errorf("WriteTo: %d, %v, want %v", n, err, want)
		}
	}
}

type empty struct{}

func (empty) At(context.Context, int64) ([]byte, error) { return nil, nil }

func TestSourceThatGivesNothingIsNotAskedForEver(t *testing.T) {
	if _, err := io.ReadAll(body(t, t.Context(), empty{}, "bytes=0-1")); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v, want %v", err, io.ErrNoProgress)
	}
}

func TestWriterThatFailsEndsWriteTo(t *testing.T) {
	full := errors.New("full")
	for _, row := range []struct {
		name string
		n    int
		err  error
		want error
	}{
		{"an error", 3, full, full},
		{"io.EOF, which is no success", 3, io.EOF, io.EOF},
		{"too few bytes", 3, nil, io.ErrShortWrite},
	} {
		for _, field := range []string{"bytes=0-9", "bytes=0-9,500-509"} {
			b := body(t, t.Context(), stored(1000, 1000), field)
			n, err := b.WriteTo(writerFunc(func(p []byte) (int, error) { return row.n, row.err }))
			if n != int64(row.n) || err != row.want {
				t.Errorf("%s, %s: %d, %v", row.name, field, n, err)
			}
		}
	}
}

func TestBodyCanBeReadAndThenWritten(t *testing.T) {
	want, err := io.ReadAll(body(t, t.Context(), stored(1000, 70), "bytes=0-99,500-599"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range want {
		b := body(t, t.Context(), stored(1000, 70), "bytes=0-99,500-599")
		first := make([]byte, n)
		if _, err := io.ReadFull(b, first); err != nil {
			t.Fatal(err)
		}
		var rest strings.Builder
		if _, err := b.WriteTo(&rest); err != nil {
			t.Fatal(err)
		}
		if string(first)+rest.String() != string(want) {
			t.Fatalf("after %d bytes: %q and %q", n, first, rest.String())
		}
	}
}

// whole is a source of one slice.
type whole []byte

func (w whole) At(_ context.Context, off int64) ([]byte, error) { return w[off:], nil }

func TestWriteToAllocatesTheBodyOnly(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	a, err := get("Range", "bytes=0-99,500-599").Plan(nil, 1000).Answer(nil, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	source := partial.Source(whole(content))
	ctx := context.Background()
	n := testing.AllocsPerRun(100, func() {
		if _, err := a.Body(ctx, source).WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
