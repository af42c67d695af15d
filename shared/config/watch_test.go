package config_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergoproxy/ergo/shared/config"
)

const interval = time.Second

// watched is a Watch that runs in a bubble of fake time.
type watched struct {
	t      *testing.T
	dir    string
	latest atomic.Pointer[config.Loaded]
	calls  atomic.Int64
}

// watch runs steps beside a Watch of dir/edge.yaml, which is loaded once before.
func watch(t *testing.T, dir string, steps func(w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, dir: dir}
		w.load()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			config.Watch(ctx, interval, w.latest.Load, func() { w.calls.Add(1) })
		}()
		steps(w)
		cancel()
		<-done
	})
}

func (w *watched) load() {
	l, _ := config.Load(filepath.Join(w.dir, "edge.yaml"), new(filed))
	w.latest.Store(l)
}

// looks lets n looks happen.
func (w *watched) looks(n int) {
	<-time.After(time.Duration(n) * interval)
	synctest.Wait()
}

func (w *watched) want(calls int64, when string) {
	w.t.Helper()
	if got := w.calls.Load(); got != calls {
		w.t.Errorf("%s: changed was called %d times, want %d", when, got, calls)
	}
}

// old gives a file a time stamp that can be trusted.
func old(t *testing.T, path string) {
	t.Helper()
	at := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesEveryKindOfFile(t *testing.T) {
	for _, name := range []string{"edge.yaml", "a.crt", "b.key"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.crt", "a")
			write(t, dir, "b.key", "b")
			write(t, dir, "edge.yaml", "ca: a.crt\nkey: {file: b.key}\n")
			watch(t, dir, func(w *watched) {
				w.looks(5)
				w.want(0, "nothing happened")
				write(t, dir, name, "ca: a.crt\nkey: {file: b.key} # new\n")
				w.looks(1)
				w.want(0, "it may still be written")
				w.looks(1)
				w.want(1, "it is settled")
				w.looks(20)
				w.want(1, "nothing more happened")
				w.load()
				w.looks(5)
				w.want(1, "it is loaded")
			})
		})
	}
}

// Kubernetes swaps a symbolic link to a directory; the file's own size and time
// may stay the same.
func TestWatchSeesSwappedSymlink(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		old(t, write(t, filepath.Join(dir, version), "a.crt", version))
	}
	link := func(version string) {
		if err := os.Symlink(version, filepath.Join(dir, "tmp")); err != nil {
			t.Fatal(err)
		}
		rename(t, filepath.Join(dir, "tmp"), filepath.Join(dir, "data"))
	}
	link("v1")
	old(t, write(t, dir, "edge.yaml", "ca: data/a.crt"))
	watch(t, dir, func(w *watched) {
		w.looks(3)
		link("v2")
		w.looks(2)
		w.want(1, "the link leads elsewhere")
		w.load()
		link("v1")
		link("v2")
		w.looks(3)
		w.want(1, "the link went there and back")
	})
}

func TestWatchSeesRenameOver(t *testing.T) {
	dir := t.TempDir()
	old(t, write(t, dir, "a.crt", "a"))
	old(t, write(t, dir, "edge.yaml", "ca: a.crt"))
	watch(t, dir, func(w *watched) {
		next := write(t, dir, "next", "b")
		old(t, next)
		rename(t, next, filepath.Join(dir, "a.crt"))
		w.looks(2)
		w.want(1, "same size and time, another file")
	})
}

func TestWatchIgnoresTheSameContent(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "edge.yaml", "{}")
	watch(t, dir, func(w *watched) {
		old(t, path)
		w.looks(3)
		w.want(0, "only its time changed")
		rename(t, write(t, dir, "next", "{}"), path)
		w.looks(3)
		w.want(0, "another file, same content")
		write(t, dir, "edge.yaml", "{} ")
		w.looks(1)
		write(t, dir, "edge.yaml", "{}")
		w.looks(5)
		w.want(0, "changed and changed back")
	})
}

func TestWatchWaitsForTheWriterButNotForever(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "edge.yaml", "{}")
	watch(t, dir, func(w *watched) {
		for i := range 9 {
			write(t, dir, "edge.yaml", "{}"+strings.Repeat("#", i+1))
			w.looks(1)
		}
		w.want(0, "it is being written")
		write(t, dir, "edge.yaml", "{} # ten")
		w.looks(1)
		w.want(1, "it was written ten times")
	})
}

// A change between Load and the first look is one too: the state is that of the
// load.
func TestWatchMissesNothingBetweenLoadAndLook(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "edge.yaml", "{}")
	watch(t, dir, func(w *watched) {
		w.load()
		write(t, dir, "edge.yaml", "{} # changed before the first look")
		w.looks(2)
		w.want(1, "changed after the load")
	})
}

func TestWatchSeesAMissingFileAppear(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "edge.yaml", "ca: a.crt")
	watch(t, dir, func(w *watched) {
		w.looks(3)
		w.want(0, "it is as missing as before")
		write(t, dir, "a.crt", "a")
		w.looks(2)
		w.want(1, "it is there")
		w.load()
		if err := os.Remove(filepath.Join(dir, "a.crt")); err != nil {
			t.Fatal(err)
		}
		w.looks(2)
		w.want(2, "it is gone")
	})
}

func TestWatchReadsALargeFileNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "geo.mmdb", "")
	if err := os.Truncate(path, 32<<20); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "edge.yaml", "ca: geo.mmdb")
	watch(t, dir, func(w *watched) {
		w.looks(2)
		w.want(0, "nothing happened")
		old(t, path)
		w.looks(2)
		w.want(1, "only the time tells")
	})
}

func TestWatchWithoutALoadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*interval)
		defer cancel()
		config.Watch(ctx, interval, func() *config.Loaded { return nil }, func() { t.Error("changed was called") })
	})
}
