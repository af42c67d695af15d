package filter

import "io"

// limitedBody fails when more than a limit is read. Like every request body it
// is read by one goroutine at a time.
type limitedBody struct {
	io.ReadCloser
	left  int64 // may still be read
	limit bodyLimit
	err   error // that ended it
}

// Read implements io.Reader. Bytes beyond the limit are not handed out: the
// limit may be all that a backend is ready for.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than is left shows whether the body goes on.
	if int64(len(p))-1 > b.left {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		err = b.limit.refusal(b.limit.bytes + 1)
	}
	b.left -= int64(n)
	b.err = err
	return n, err
}
