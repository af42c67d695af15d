package retry_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/ergoproxy/ergo/shared/retry"
)

// source is a stream that tells whether it was closed and catches two readers
// inside Read at once.
type source struct {
	io.Reader
	closed atomic.Bool
	inside atomic.Int32
	clash  atomic.Bool
}

func (s *source) Read(p []byte) (int, error) {
	if s.inside.Add(1) > 1 {
		s.clash.Store(true)
	}
	defer s.inside.Add(-1)
	return s.Reader.Read(p)
}

func (s *source) Close() error { s.closed.Store(true); return nil }

func try(t *testing.T, b *retry.Body) io.ReadCloser {
	t.Helper()
	r, err := b.Try()
	if err != nil {
		t.Fatalf("Try: %v", err)
	}
	return r
}

func readN(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	return string(p)
}

func TestNoBodyNeedsNoBody(t *testing.T) {
	for _, stream := range []io.ReadCloser{nil, http.NoBody} {
		b := retry.NewBody(stream, 10)
		if b != nil {
			t.Fatalf("NewBody(%v) = %v, want nil", stream, b)
		}
		if !b.Replayable() {
			t.Error("a request without a body cannot be tried again")
		}
		b.Commit()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSecondTryReadsFromTheStart(t *testing.T) {
	const text = "the quick brown fox jumps over the lazy dog"
	for read := 0; read <= len(text); read++ {
		b := retry.NewBody(&source{Reader: strings.NewReader(text)}, len(text))
		readN(t, try(t, b), read)
		got, err := io.ReadAll(try(t, b))
		if err != nil || string(got) != text {
			t.Fatalf("after %d bytes the second try read %q, %v", read, got, err)
		}
	}
}

func TestBodyPastTheLimitIsReadOnce(t *testing.T) {
	const limit = 5000
	text := strings.Repeat("x", limit+1)
	b := retry.NewBody(&source{Reader: strings.NewReader(text)}, limit)
	first := try(t, b)
	readN(t, first, limit)
	if !b.Replayable() {
		t.Fatal("not replayable although the limit was not passed")
	}
	if got, err := io.ReadAll(first); err != nil || len(got) != 1 {
		t.Fatalf("rest of the body: %d bytes, %v", len(got), err)
	}
	if b.Replayable() {
		t.Error("replayable although more than the limit was read")
	}
	if _, err := b.Try(); !errors.Is(err, retry.ErrNotReplayable) {
		t.Errorf("Try = %v, want ErrNotReplayable", err)
	}
}

func TestSecondTryMayPassTheLimit(t *testing.T) {
	const limit = 100
	text := strings.Repeat("abcdefgh", 1000)
	b := retry.NewBody(&source{Reader: strings.NewReader(text)}, limit)
	readN(t, try(t, b), 70)
	got, err := io.ReadAll(try(t, b))
	if err != nil || string(got) != text {
		t.Fatalf("second try read %d bytes, %v; want %d", len(got), err, len(text))
	}
}

func TestBodyThatBrokeIsNotTriedAgain(t *testing.T) {
	cause := errors.New("client went away")
	b := retry.NewBody(&source{Reader: io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(cause))}, 10)
	if b.Err() != nil {
		t.Errorf("Err before the end = %v", b.Err())
	}
	got, err := io.ReadAll(try(t, b))
	if string(got) != "ab" || !errors.Is(err, cause) {
		t.Fatalf("read %q, %v; want ab, %v", got, err, cause)
	}
	if !errors.Is(b.Err(), cause) || b.Replayable() {
		t.Errorf("Err = %v, replayable %v; want %v, false", b.Err(), b.Replayable(), cause)
	}
}

func TestDataTogetherWithEOFIsKept(t *testing.T) {
	b := retry.NewBody(&source{Reader: iotest.DataErrReader(strings.NewReader("whole"))}, 10)
	for range 2 {
		if got, err := io.ReadAll(try(t, b)); string(got) != "whole" || err != nil || b.Err() != nil {
			t.Fatalf("read %q, %v, Err %v", got, err, b.Err())
		}
	}
}

func TestZeroLimitReplaysOnlyWhatWasNotRead(t *testing.T) {
	b := retry.NewBody(&source{Reader: strings.NewReader("ab")}, 0)
	try(t, b)
	second := try(t, b)
	readN(t, second, 1)
	if b.Replayable() {
		t.Error("replayable without any memory")
	}
}

func TestEarlierReaderIsDetached(t *testing.T) {
	b := retry.NewBody(&source{Reader: strings.NewReader("abc")}, 10)
	first := try(t, b)
	readN(t, first, 1)
	second := try(t, b)
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, retry.ErrDetached) {
		t.Errorf("Read of the first try = %v, want ErrDetached", err)
	}
	first.Close()
	if got := readN(t, second, 3); got != "abc" {
		t.Errorf("second try read %q", got)
	}
}

// The transport may still sit in Read when RoundTrip has returned; the bytes
// that this Read gets in the end belong to the next try.
func TestTryWaitsForAReadUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		src := &source{Reader: pr}
		b := retry.NewBody(src, 100)
		first := try(t, b)
		abandoned := make(chan error)
		go func() {
			_, err := first.Read(make([]byte, 50))
			abandoned <- err
		}()
		synctest.Wait() // inside the stream's Read

		second := try(t, b)
		got := make(chan string)
		go func() {
			all, err := io.ReadAll(second)
			if err != nil {
				t.Errorf("second try: %v", err)
			}
			got <- string(all)
		}()
		synctest.Wait()
		pw.Write([]byte("hello "))
		if err := <-abandoned; !errors.Is(err, retry.ErrDetached) {
			t.Errorf("abandoned Read = %v, want ErrDetached", err)
		}
		pw.Write([]byte("world"))
		pw.Close()
		if s := <-got; s != "hello world" {
			t.Errorf("second try read %q", s)
		}
		if src.clash.Load() {
			t.Error("two tries were inside the stream's Read at once")
		}
	})
}

func TestCloseFreesAWaitingReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		b := retry.NewBody(pr, 100)
		first := try(t, b)
		errs := make(chan error, 2)
		go func() { _, err := first.Read(make([]byte, 1)); errs <- err }()
		synctest.Wait()
		second := try(t, b)
		go func() { _, err := second.Read(make([]byte, 1)); errs <- err }()
		synctest.Wait()
		b.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, retry.ErrDetached) {
				t.Errorf("Read = %v, want ErrDetached", err)
			}
		}
		if _, err := pw.Write([]byte("x")); err == nil {
			t.Error("the stream is still open")
		}
		if b.Replayable() {
			t.Error("a closed body is replayable")
		}
	})
}

func TestStreamIsClosedWithTheLastTryOnly(t *testing.T) {
	src := &source{Reader: strings.NewReader("abc")}
	b := retry.NewBody(src, 10)
	try(t, b).Close()
	if src.closed.Load() {
		t.Fatal("the first try closed the stream")
	}
	second := try(t, b)
	b.Commit()
	if src.closed.Load() {
		t.Fatal("Commit closed the stream under the try that reads it")
	}
	if got, err := io.ReadAll(second); string(got) != "abc" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	second.Close()
	if !src.closed.Load() {
		t.Error("the last try was closed and the stream was not")
	}

	src = &source{Reader: strings.NewReader("abc")}
	b = retry.NewBody(src, 10)
	try(t, b).Close()
	b.Commit()
	if !src.closed.Load() {
		t.Error("Commit after the close of the last try left the stream open")
	}
}

func TestTriesUnderStress(t *testing.T) {
	want := make([]byte, 200_000)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	for round := range 50 {
		src := &source{Reader: iotest.OneByteReader(bytes.NewReader(want[:2000]))}
		b := retry.NewBody(src, 2000)
		var abandoned sync.WaitGroup
		for range 4 {
			r := try(t, b)
			n := random.IntN(500)
			abandoned.Go(func() {
				io.CopyN(io.Discard, r, int64(n))
				r.Close()
			})
		}
		last := try(t, b)
		b.Commit()
		got, err := io.ReadAll(last)
		if err != nil || !bytes.Equal(got, want[:2000]) {
			t.Fatalf("round %d: last try read %d bytes, %v", round, len(got), err)
		}
		abandoned.Wait()
		b.Close()
		if src.clash.Load() {
			t.Fatal("two tries were inside the stream's Read at once")
		}
	}
	b := retry.NewBody(&source{Reader: bytes.NewReader(want)}, retry.DefaultBodyLimit)
	if got, err := io.ReadAll(try(t, b)); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("long body: %d bytes, %v", len(got), err)
	}
}

func BenchmarkBody(b *testing.B) {
	data, p := make([]byte, 1<<10), make([]byte, 32<<10)
	stream := bytes.NewReader(data)
	b.ReportAllocs()
	for b.Loop() {
		stream.Reset(data)
		body := retry.NewBody(io.NopCloser(stream), retry.DefaultBodyLimit)
		r, _ := body.Try()
		for {
			if _, err := r.Read(p); err != nil {
				break
			}
		}
		body.Close()
	}
}
