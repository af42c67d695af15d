package coding_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// BenchmarkEncode measures each level on a page and a list of 64 KiB, written in
// pieces of 16 KiB, with codecs that are used again: MB for each second of processor
// time, which other work on the machine changes less than the time that passes, and
// the length of the content over that of the output.
func BenchmarkEncode(b *testing.B) {
	contents := []struct {
		name string
		text []byte
	}{{"html", htmlPage(11, 64<<10)}, {"json", jsonList(11, 64<<10)}, {"html1M", htmlPage(11, 1<<20)}, {"html4k", htmlPage(11, 4<<10)}}
	for _, content := range contents {
		for _, k := range allKinds() {
			b.Run(fmt.Sprintf("%s/%s-%d", content.name, k.as, k.level), func(b *testing.B) {
				c := coderAt(k.level)
				b.SetBytes(int64(len(content.text)))
				b.ReportAllocs()
				var coded bytes.Buffer
				run(b, c, k.as, &coded, content.text) // makes the codec
				start := processorTime(b)
				for b.Loop() {
					coded.Reset()
					run(b, c, k.as, &coded, content.text)
				}
				spent := processorTime(b) - start
				b.ReportMetric(float64(len(content.text))*float64(b.N)/1e6/spent.Seconds(), "MB/cpu-s")
				b.ReportMetric(float64(len(content.text))/float64(coded.Len()), "ratio")
			})
		}
	}
}

// BenchmarkMemory measures what an encoder holds in the middle of a list of 4 MiB
// of unknown length.
func BenchmarkMemory(b *testing.B) {
	long := jsonList(12, 4<<20)
	for _, k := range allKinds() {
		b.Run(fmt.Sprintf("%s-%d", k.as, k.level), func(b *testing.B) {
			var held float64
			for b.Loop() {
				c := coderAt(k.level)
				before := heap()
				e, err := c.NewWriter(io.Discard, k.as, coding.Passing, -1)
				if err != nil {
					b.Fatal(err)
				}
				for at := 0; at < len(long); at += 16 << 10 {
					e.Write(long[at : at+16<<10])
				}
				held = float64(heap()) - float64(before)
				e.Abort()
			}
			b.ReportMetric(held/(1<<10), "KiB")
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	c := coding.New(settings())
	req := fields("Accept-Encoding", "gzip, deflate, br, zstd")
	b.ReportAllocs()
	for b.Loop() {
		if _, why := c.Choose("GET", req, 200, page); why != coding.Coded {
			b.Fatal(why)
		}
	}
}

type levelOf struct {
	as    coding.Coding
	level int
}

func allKinds() []levelOf {
	var all []levelOf
	for level := range 4 {
		all = append(all, levelOf{coding.Zstd, level + 1})
	}
	for level := range 12 {
		all = append(all, levelOf{coding.Brotli, level})
	}
	for level := range 9 {
		all = append(all, levelOf{coding.Gzip, level + 1})
	}
	return all
}

func coderAt(level int) *coding.Coder {
	s := settings()
	s.Levels = coding.Levels{Gzip: level, Brotli: level, Zstd: level}
	return coding.New(s)
}

func run(b *testing.B, c *coding.Coder, as coding.Coding, w io.Writer, content []byte) {
	e, err := c.NewWriter(w, as, coding.Passing, int64(len(content)))
	if err != nil {
		b.Fatal(err)
	}
	for len(content) > 0 {
		n := min(len(content), 16<<10)
		if _, err := e.Write(content[:n]); err != nil {
			b.Fatal(err)
		}
		content = content[n:]
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
}

// processorTime returns what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
