package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/store"
)

const (
	window   = 256 << 10
	patience = 5 * time.Second
)

// write fills b in a goroutine and finishes it. The error is sent when it ends.
func write(b *store.Body, p []byte) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.ReadFrom(context.Background(), bytes.NewReader(p))
		if err == nil {
			err = b.Finish(nil)
		} else {
			b.Fail(err)
		}
		done <- err
	}()
	return done
}

func TestBodyOverTheLimitIsRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, store.Config{})
		want := text(3 << 20)
		for _, size := range []int64{-1, int64(len(want))} {
			f := s.Begin()
			b := f.Body(size)
			r := reader(t, b, 0)
			done := write(b, want)
			got, err := io.ReadAll(io.Reader(r))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("size %d: read %d bytes, %v", size, len(got), err)
			}
			if err := <-done; err != nil {
				t.Errorf("size %d: writer: %v", size, err)
			}
			if b.Storable() {
				t.Errorf("size %d: counts as storable", size)
			}
			if _, err := f.Put(store.Item{Key: "k", Body: b}); !errors.Is(err, store.ErrRelay) {
				t.Errorf("size %d: Put = %v, want ErrRelay", size, err)
			}
			if _, err := b.Reader(context.Background(), 0); err != store.ErrRelay {
				t.Errorf("size %d: a late reader gets %v, want ErrRelay", size, err)
			}
			if _, err := b.ReadAt(make([]byte, 1), 0); err != store.ErrRelay {
				t.Errorf("size %d: ReadAt = %v, want ErrRelay", size, err)
			}
			f.Close()
			r.Close()
		}
		if st := s.Stats(); st.Filling != 0 || st.Refusals.TooLarge != 2 {
			t.Errorf("filling %d, too large %d", st.Filling, st.Refusals.TooLarge)
		}
	})
}

func TestRelayHoldsNoMoreThanAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, 8<<20) // announced too long
		r := reader(t, b, 0)
		done := write(b, text(8<<20))
		p := make([]byte, 10_000)
		for total := 0; ; {
			synctest.Wait()
			if ahead := b.Len() - int64(total); ahead > window {
				t.Fatalf("the writer is %d bytes ahead of the slowest reader", ahead)
			}
			n, err := r.Read(p)
			if total += n; err == io.EOF {
				break
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBodyWithoutRoomIsRelayedAndGivesItsRoomBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, store.Config{Capacity: 8 << 20, Fill: 1 << 20, MaxObject: 300 << 10})
		var fills []*store.Fill
		for range 4 { // which leaves 1 MiB - 4*256 KiB = 0
			f := s.Begin()
			b := f.Body(-1)
			b.Append(context.Background(), text(256<<10))
			b.Finish(nil)
			fills = append(fills, f)
		}
		f := s.Begin()
		b := f.Body(-1)
		r := reader(t, b, 0)
		done := write(b, text(290<<10))
		if got, err := io.ReadAll(io.Reader(r)); err != nil || !bytes.Equal(got, text(290<<10)) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if err := <-done; err != nil || b.Storable() {
			t.Errorf("writer: %v, storable: %v", err, b.Storable())
		}
		if got := s.Stats().Filling; got > 1<<20 {
			t.Errorf("%d bytes are being filled, more than 1 MiB", got)
		}
		for _, f := range append(fills, f) {
			f.Close()
		}
		r.Close()
		if got := s.Stats().Filling; got != 0 {
			t.Errorf("%d bytes are still counted", got)
		}
	})
}

func TestRelayWithoutReaderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		if _, err := b.ReadFrom(context.Background(), bytes.NewReader(text(2<<20))); err != store.ErrNoReader {
			t.Errorf("nobody reads: %v, want ErrNoReader", err)
		}
		b = body(t, -1)
		r := reader(t, b, 0)
		done := write(b, text(2<<20))
		synctest.Wait() // the writer waits for the reader
		r.Close()
		if err := <-done; err != store.ErrNoReader {
			t.Errorf("the reader has left: %v, want ErrNoReader", err)
		}
	})
}

func TestRelayWriterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, 2<<20)
		reader(t, b, 0)
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("shutting down")
		var err error
		go func() { err = b.Append(ctx, text(2<<20)) }()
		synctest.Wait()
		cancel(cause)
		synctest.Wait()
		if err != cause {
			t.Errorf("Append = %v, want %v", err, cause)
		}
	})
}

func TestSlowReaderOfARelayIsCutOffWhenOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		slow, fast := reader(t, b, 0), reader(t, b, 0)
		want := text(4 << 20)
		began := time.Now()
		done := write(b, want)
		if got, err := io.ReadAll(io.Reader(fast)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("fast reader: %d bytes, %v", len(got), err)
		}
		if err := <-done; err != nil {
			t.Errorf("writer: %v", err)
		}
		if took := time.Since(began); took != patience {
			t.Errorf("took %v, want one patience of %v", took, patience)
		}
		if _, err := slow.Read(make([]byte, 1)); err != store.ErrLagged {
			t.Errorf("slow reader gets %v, want ErrLagged", err)
		}
	})
}

// A client that reads a little whenever its time is nearly over must not win new
// time by it.
func TestPatienceOfARelayIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		slow, fast := reader(t, b, 0), reader(t, b, 0)
		began := time.Now()
		done := write(b, text(16<<20))
		var wg sync.WaitGroup
		wg.Go(func() {
			p := make([]byte, 1000)
			for {
				time.Sleep(patience / 10)
				if _, err := slow.Read(p); err != nil {
					return
				}
			}
		})
		if n, err := io.Copy(io.Discard, fast); err != nil || n != 16<<20 {
			t.Errorf("fast reader: %d bytes, %v", n, err)
		}
		<-done
		defer wg.Wait()
		if took := time.Since(began); took > patience+patience/10 {
			t.Errorf("the fast reader needed %v, want about %v", took, patience)
		}
	})
}

func TestSlowReaderAloneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body(t, -1)
		r := reader(t, b, 0)
		want := text(2 << 20)
		done := write(b, want)
		var got []byte
		p := make([]byte, 50_000)
		for {
			time.Sleep(2 * patience)
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, writer: %v", len(got), err)
		}
	})
}
