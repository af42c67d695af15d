package coding_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/ergoproxy/ergo/shared/cache/coding"
)

// settings returns the defaults, enabled.
func settings() coding.Settings {
	var s coding.Settings
	s.SetDefaults()
	s.Enabled = true
	return s
}

var everyCoding = []coding.Coding{coding.Zstd, coding.Brotli, coding.Gzip}

// words returns a dictionary of made-up words, the early ones of which are short.
func words(r *rand.Rand) []string {
	const vowels, consonants = "aeiou", "bcdfghklmnprstvw"
	list := make([]string, 2000)
	for i := range list {
		var b strings.Builder
		for range 1 + r.IntN(2) + i/500 {
			b.WriteByte(consonants[r.IntN(len(consonants))])
			b.WriteByte(vowels[r.IntN(len(vowels))])
			if r.IntN(3) == 0 {
				b.WriteByte(consonants[r.IntN(len(consonants))])
			}
		}
		list[i] = b.String()
	}
	return list
}

// sentence takes words as often as people do: few of them most of the time.
func sentence(r *rand.Rand, words []string, n int) string {
	picked := make([]string, n)
	for i := range picked {
		picked[i] = words[int(float64(len(words))*r.Float64()*r.Float64()*r.Float64())]
	}
	return strings.Join(picked, " ")
}

// htmlPage returns a page of n bytes: a list of articles with links, classes,
// numbers and prose. The same seed makes the same page.
func htmlPage(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	dictionary := words(r)
	var b bytes.Buffer
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>" + sentence(r, dictionary, 5) + "</title></head>\n<body>\n")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<article class=\"card card--%d\" id=\"a%08x\">\n  <h2><a href=\"/%s/%d\">%s</a></h2>\n  <p class=\"lead\">%s</p>\n  <img src=\"/img/%016x.webp\" width=\"%d\" height=\"%d\" alt=\"%s\" loading=\"lazy\">\n</article>\n",
			i%4, r.Uint32(), dictionary[r.IntN(200)], r.IntN(1e6), sentence(r, dictionary, 6), sentence(r, dictionary, 30+r.IntN(60)),
			r.Uint64(), 320+r.IntN(4)*160, 240+r.IntN(4)*120, sentence(r, dictionary, 3))
	}
	return b.Bytes()[:n]
}

// jsonList returns n bytes of a list of records, cut off at the end.
func jsonList(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	dictionary := words(r)
	var b bytes.Buffer
	b.WriteString("[")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"uuid":"%016x%016x","name":"%s","email":"%s@example.org","active":%t,"score":%.4f,"tags":["%s","%s"],"created_at":"2026-%02d-%02dT%02d:%02d:%02dZ"},`,
			100000+i, r.Uint64(), r.Uint64(), sentence(r, dictionary, 2), dictionary[r.IntN(len(dictionary))], r.IntN(2) == 0, r.Float64()*100,
			dictionary[r.IntN(40)], dictionary[r.IntN(40)], 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60))
	}
	return b.Bytes()[:n]
}

// noise returns n bytes that no coding makes shorter.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	source := rand.New(rand.NewPCG(seed, 3))
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

// decoder returns what decodes c: for gzip that of the standard library, which is
// not the one that encodes, and for zstd one with the window that RFC 9659 asks of
// clients.
func decoder(t testing.TB, c coding.Coding, r io.Reader) io.Reader {
	t.Helper()
	switch c {
	case coding.Gzip:
		d, err := gzip.NewReader(r)
		if err != nil {
			t.Fatalf("read gzip header: %v", err)
		}
		return d
	case coding.Brotli:
		return brotli.NewReader(r)
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatalf("make zstd decoder: %v", err)
	}
	t.Cleanup(d.Close)
	return d
}

func decode(t testing.TB, c coding.Coding, coded []byte) []byte {
	t.Helper()
	content, err := io.ReadAll(decoder(t, c, bytes.NewReader(coded)))
	if err != nil {
		t.Fatalf("decode %s: %v", c, err)
	}
	return content
}

// encode returns content as c codes it in one piece.
func encode(t testing.TB, c *coding.Coder, as coding.Coding, effort coding.Effort, content []byte) []byte {
	t.Helper()
	var coded bytes.Buffer
	e, err := c.NewWriter(&coded, as, effort, int64(len(content)))
	if err != nil {
		t.Fatalf("NewWriter(%s): %v", as, err)
	}
	if _, err := e.Write(content); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	return coded.Bytes()
}
