package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/ergoproxy/ergo/shared/cache/store"
)

func open(t testing.TB, c store.Config) *store.Store {
	t.Helper()
	if c.Capacity == 0 {
		c.Capacity = 16 << 20
	}
	s, err := store.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// body returns an empty body of a store of 16 MiB, which keeps up to 700 KiB.
func body(t testing.TB, size int64) *store.Body {
	t.Helper()
	f := open(t, store.Config{}).Begin()
	t.Cleanup(f.Close)
	return f.Body(size)
}

func reader(t testing.TB, b *store.Body, from int64) *store.Reader {
	t.Helper()
	r, err := b.Reader(context.Background(), from)
	if err != nil {
		t.Fatalf("Reader: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i>>8) ^ byte(i)*31
	}
	return p
}

func TestBodyKeepsEveryByteOfEveryLength(t *testing.T) {
	s := open(t, store.Config{})
	ctx := context.Background()
	lengths := []int{0, 1, 4095, 4096, 4097, 8193, 32767, 32768, 32769, 65535, 65536, 65537, 131072, 150001, 600000}
	for _, n := range lengths {
		want := text(n)
		for _, size := range []int64{-1, int64(n)} {
			for _, step := range []int{1 << 20, 30011, 4096, 1 + n/7} {
				f := s.Begin()
				b := f.Body(size)
				for part := range slices.Chunk(want, step) {
					if err := b.Append(ctx, part); err != nil {
						t.Fatalf("%d bytes: Append: %v", n, err)
					}
				}
				if err := b.Finish("end"); err != nil {
					t.Fatalf("%d bytes: Finish: %v", n, err)
				}
				checkBody(t, b, want)
				f.Close()
			}
		}
	}
	if got := s.Stats().Filling; got != 0 {
		t.Errorf("%d bytes are counted as being filled after all fills", got)
	}
}

// checkBody reads a whole body in every way.
func checkBody(t *testing.T, b *store.Body, want []byte) {
	t.Helper()
	if size, known := b.Size(); size != int64(len(want)) || !known || b.Len() != size {
		t.Errorf("Size = %d, %v, Len = %d, want %d", size, known, b.Len(), len(want))
	}
	if done, err := b.Done(); !done || err != nil || b.Trailer() != "end" {
		t.Errorf("Done = %v, %v, Trailer = %v", done, err, b.Trailer())
	}
	var out bytes.Buffer
	r := reader(t, b, 0)
	if n, err := r.WriteTo(&out); err != nil || n != int64(len(want)) || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%d bytes: WriteTo = %d, %v", len(want), n, err)
	}
	r.Close()
	if len(want) < 10_000 {
		if err := iotest.TestReader(io.NewSectionReader(b, 0, b.Len()), want); err != nil {
			t.Errorf("%d bytes: %v", len(want), err)
		}
	}
	for _, from := range []int{0, len(want) / 3, len(want) - 1, len(want), len(want) + 5} {
		r := reader(t, b, int64(from))
		got, err := io.ReadAll(struct{ io.Reader }{r})
		if from = min(max(from, 0), len(want)); err != nil || !bytes.Equal(got, want[from:]) {
			t.Errorf("%d bytes from %d: got %d, %v", len(want), from, len(got), err)
		}
		r.Close()
	}
}

func TestBodyReadFromTakesWhatTheSourceGives(t *testing.T) {
	want := text(200_000)
	broken := errors.New("backend is gone")
	for _, tt := range []struct {
		name string
		size int64
		src  io.Reader
		err  error
	}{
		{"length unknown", -1, bytes.NewReader(want), nil},
		{"length known", 200_000, bytes.NewReader(want), nil},
		{"one byte at a time", 200_000, iotest.OneByteReader(bytes.NewReader(want)), nil},
		{"end with the last bytes", 200_000, iotest.DataErrReader(bytes.NewReader(want)), nil},
		{"longer than announced", 199_999, bytes.NewReader(want), store.ErrLength},
		{"broken", -1, io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)), broken},
	} {
		b := body(t, tt.size)
		n, err := b.ReadFrom(context.Background(), tt.src)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: ReadFrom = %d, %v, want %v", tt.name, n, err, tt.err)
		}
		if tt.err != nil {
			continue
		}
		b.Finish(nil)
		if got, err := io.ReadAll(reader(t, b, 0)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: read %d bytes, %v", tt.name, len(got), err)
		}
	}
}

func TestBodyThatIsNotAsAnnouncedFails(t *testing.T) {
	ctx := context.Background()
	b := body(t, 10)
	if err := b.Append(ctx, []byte("0123456789x")); err != store.ErrLength {
		t.Errorf("Append of too much = %v, want ErrLength", err)
	}
	b = body(t, 10)
	b.Append(ctx, []byte("01234"))
	if err := b.Finish(nil); err != store.ErrLength {
		t.Errorf("Finish after too little = %v, want ErrLength", err)
	}
	if got, err := io.ReadAll(reader(t, b, 0)); string(got) != "01234" || err != store.ErrLength {
		t.Errorf("reader got %q, %v", got, err)
	}
	if b.Storable() {
		t.Error("a body that is cut short counts as storable")
	}
	if b.Append(ctx, []byte("x")) != store.ErrEnded || b.Finish(nil) != store.ErrEnded {
		t.Error("a body that has ended can be written")
	}
}

func TestReadersFollowTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		want := text(300_000)
		var wg sync.WaitGroup
		for i := range 8 {
			r := reader(t, b, int64(i*1000))
			wg.Go(func() {
				got, err := io.ReadAll(io.Reader(r))
				if err != nil || !bytes.Equal(got, want[i*1000:]) {
					t.Errorf("reader %d: %d bytes, %v", i, len(got), err)
				}
			})
		}
		for part := range slices.Chunk(want, 7001) {
			b.Append(context.Background(), part)
			synctest.Wait()
		}
		b.Finish(nil)
		wg.Wait()
	})
}

func TestWriterNeverWaitsForReadersOfAStoredBody(t *testing.T) {
	b := body(t, -1)
	r := reader(t, b, 0) // which reads nothing yet
	want := text(500_000)
	if err := b.Append(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	b.Finish(nil)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

func TestReaderEndsWithItsContextOrClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		cause := errors.New("client left")
		ctx, cancel := context.WithCancelCause(context.Background())
		bound, err := b.Reader(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer bound.Close()
		closed := reader(t, b, 0)
		var boundErr, closedErr, waitErr error
		go func() { _, boundErr = bound.Read(make([]byte, 1)) }()
		go func() { _, closedErr = closed.Read(make([]byte, 1)) }()
		go func() { waitErr = b.Wait(ctx) }()
		synctest.Wait()
		if boundErr != nil || closedErr != nil || waitErr != nil {
			t.Fatal("a read of nothing returned")
		}
		cancel(cause)
		closed.Close()
		synctest.Wait()
		if boundErr != cause || closedErr != store.ErrReaderClosed || waitErr != cause {
			t.Errorf("errors are %v, %v, %v", boundErr, closedErr, waitErr)
		}
	})
}

func TestFailReachesReadersAfterTheBytes(t *testing.T) {
	cause := errors.New("backend reset")
	for _, tt := range []struct{ fail, want error }{{cause, cause}, {io.EOF, io.ErrUnexpectedEOF}, {nil, io.ErrUnexpectedEOF}} {
		b := body(t, -1)
		b.Append(context.Background(), []byte("half"))
		b.Fail(tt.fail)
		b.Fail(errors.New("too late"))
		if got, err := io.ReadAll(reader(t, b, 0)); string(got) != "half" || err != tt.want {
			t.Errorf("Fail(%v): read %q, %v, want %v", tt.fail, got, err, tt.want)
		}
		if err := b.Wait(context.Background()); err != tt.want {
			t.Errorf("Wait = %v", err)
		}
		if _, err := b.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("ReadAt of a failed body works")
		}
	}
}

func TestReadAtNeedsAWholeBody(t *testing.T) {
	b := body(t, -1)
	b.Append(context.Background(), []byte("0123456789"))
	if _, err := b.ReadAt(make([]byte, 1), 0); err != store.ErrUnfinished {
		t.Errorf("ReadAt before the end = %v", err)
	}
	b.Finish(nil)
	p := make([]byte, 4)
	if n, err := b.ReadAt(p, 8); n != 2 || err != io.EOF || string(p[:2]) != "89" {
		t.Errorf("ReadAt past the end = %d, %v", n, err)
	}
	if _, err := b.ReadAt(p, -1); err == nil {
		t.Error("ReadAt takes a negative offset")
	}
}

func TestWriteToReportsWhatItsWriterDid(t *testing.T) {
	b := body(t, -1)
	b.Append(context.Background(), text(100_000))
	b.Finish(nil)
	full := errors.New("client is full")
	r := reader(t, b, 0)
	if n, err := r.WriteTo(&limited{left: 70_000, err: full}); n != 70_000 || err != full {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, text(100_000)[70_000:]) {
		t.Errorf("the reader does not go on where the write ended: %d bytes, %v", len(rest), err)
	}
	if _, err := reader(t, b, 0).WriteTo(&limited{left: 5}); err != io.ErrShortWrite {
		t.Errorf("a short write gives %v", err)
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if n < len(p) {
		return n, l.err
	}
	return n, nil
}

// What a body counts for exceeds its bytes by what is not worth trimming, a 32nd,
// or by what the allocator wastes on its last chunk, an 8th of that.
func TestBodyTakesLittleMoreThanItsBytes(t *testing.T) {
	s := open(t, store.Config{})
	rnd := rand.New(rand.NewPCG(1, 2))
	var bytesIn, counted int64
	for range 400 {
		n := 10_000 + rnd.IntN(500_000)
		f := s.Begin()
		b := f.Body(-1)
		if _, err := b.ReadFrom(context.Background(), bytes.NewReader(text(n))); err != nil {
			t.Fatal(err)
		}
		b.Finish(nil)
		bytesIn, counted = bytesIn+int64(n), counted+s.Stats().Filling
		if got := s.Stats().Filling; got < int64(n) || got > int64(n)+max(int64(n)/32, min(int64(n), 32<<10)/8) {
			t.Errorf("a body of %d bytes counts for %d", n, got)
		}
		f.Close()
	}
	t.Logf("waste of 400 bodies: %.2f %%", 100*(float64(counted)/float64(bytesIn)-1))
}

func TestShortBodiesTakeTheirOwnSize(t *testing.T) {
	for _, size := range []int64{-1, 1000} {
		s := open(t, store.Config{})
		f := s.Begin()
		b := f.Body(size)
		b.Append(context.Background(), []byte(strings.Repeat("x", 1000)))
		b.Finish(nil)
		if got := s.Stats().Filling; got != 1024 {
			t.Errorf("1000 bytes count for %d, want 1024, the allocator's size", got)
		}
		f.Close()
	}
}
