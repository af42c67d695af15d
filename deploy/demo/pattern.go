package demo

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// patternPeriod is prime, so that no buffer size divides it: a body in which a
// piece was lost, doubled or swapped differs from the pattern.
const patternPeriod = 65521

// pattern holds two periods, so that any read of up to one period is one copy.
var pattern = func() []byte {
	b := make([]byte, 2*patternPeriod)
	source := rand.NewPCG(1, 2)
	for i := range patternPeriod {
		b[i] = byte(source.Uint64())
	}
	copy(b[patternPeriod:], b[:patternPeriod])
	return b
}()

// A Pattern is the body of /bytes/N: the same bytes for every N, of which the
// first N are given. It holds no memory of its own, and is an io.ReadSeeker and
// io.WriterTo. Not safe for concurrent use.
type Pattern struct {
	size, offset int64
}

// NewPattern returns the first size bytes of the pattern.
func NewPattern(size int64) *Pattern { return &Pattern{size: size} }

// Read implements io.Reader.
func (p *Pattern) Read(b []byte) (int, error) {
	if p.offset >= p.size {
		return 0, io.EOF
	}
	piece := p.next(int64(len(b)))
	n := copy(b, piece)
	p.offset += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo.
func (p *Pattern) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for p.offset < p.size {
		n, err := w.Write(p.next(patternPeriod))
		written += int64(n)
		p.offset += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// next returns up to n bytes at the offset, at least one if n > 0.
func (p *Pattern) next(n int64) []byte {
	at := p.offset % patternPeriod
	return pattern[at : at+min(n, p.size-p.offset, patternPeriod)]
}

// Seek implements io.Seeker.
func (p *Pattern) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.offset
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, errors.New("seek: offset before the start")
	}
	p.offset = offset
	return offset, nil
}

// ErrPattern is returned by CheckPattern for a body that differs.
var ErrPattern = errors.New("body differs from the pattern")

// CheckPattern reads r to its end and returns its length. The bytes must be
// those of the pattern from offset on; if one is not, the error matches
// ErrPattern.
func CheckPattern(r io.Reader, offset int64) (int64, error) {
	buffer := make([]byte, copyBuffer)
	var length int64
	for {
		n, err := r.Read(buffer)
		for i, got := range buffer[:n] {
			if want := pattern[(offset+length+int64(i))%patternPeriod]; got != want {
				return length, fmt.Errorf("%w: byte %d is %#02x, want %#02x", ErrPattern, offset+length+int64(i), got, want)
			}
		}
		length += int64(n)
		if err == io.EOF {
			return length, nil
		}
		if err != nil {
			return length, err
		}
	}
}

func bytesOfPattern(w http.ResponseWriter, r *http.Request) {
	n, err := number("size", r.PathValue("n"), 0, maxBytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	if r.URL.RawQuery != "" {
		p := query(r)
		age := p.number("max-age", -1, 0, maxMaxAge)
		if p.refuse(w) {
			return
		}
		if age >= 0 {
			header.Set("Cache-Control", "public, max-age="+strconv.FormatInt(age, 10))
		}
	}
	header.Set("Content-Type", "application/octet-stream")
	header.Set("ETag", `"pattern-`+strconv.FormatInt(n, 10)+`"`)
	http.ServeContent(w, r, "", time.Time{}, NewPattern(n))
}
