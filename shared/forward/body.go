package forward

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// A requestBody is the Body of the request that is sent on. A transport may still
// be reading it when the response is complete, and net/http's Close of a body
// waits for a Read that waits for the client: a client that has its answer and
// sends no more would hold the handler, and the end of its answer, for ever. So
// Close leaves the stream to the server, which closes it when it has sent the
// answer, and gives the client a little time until then.
type requestBody struct {
	stream  io.ReadCloser
	control *http.ResponseController
	turn    chan struct{} // holds a token while stream is read
	closing sync.Once

	mu    sync.Mutex // guards what follows
	ended bool       // the last byte was read
	over  bool       // closed, or the handler has returned
}

func newRequestBody(w http.ResponseWriter, stream io.ReadCloser) *requestBody {
	return &requestBody{stream: stream, control: http.NewResponseController(w), turn: make(chan struct{}, 1)}
}

// Read reads from the client.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	over := b.over
	b.mu.Unlock()
	if over {
		return 0, http.ErrBodyReadAfterClose
	}
	b.turn <- struct{}{}
	n, err := b.stream.Read(p)
	<-b.turn
	if err == io.EOF {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
	}
	return n, err
}

// keepsConnection reports whether the connection of an HTTP/1 client can serve
// another request: what is left of this one would be taken for it.
func (b *requestBody) keepsConnection() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// lingerTime is how long the server goes on reading from a client that has its
// answer: long enough for it to notice, so that closing the connection with unread
// bytes does not destroy the answer on its way (RFC 9112, section 9.6).
const lingerTime = 500 * time.Millisecond

// readTime is how long Close waits for a Read under way. When a handler returns,
// net/http breaks off its Read, and up to Go 1.26 closes the connection then
// without the lingering that an unread body needs. A client that goes on sending
// ends the Read in no time; one that has stopped is not in danger.
const readTime = 20 * time.Millisecond

// Close makes Reads fail: at once, or after lingerTime if one is under way.
// A second call returns when the first has: after the handler the
// ResponseController must not be used.
func (b *requestBody) Close() error {
	b.closing.Do(b.close)
	return nil
}

func (b *requestBody) close() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
	select {
	case b.turn <- struct{}{}:
		<-b.turn
	case <-time.After(readTime):
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		// Where deadlines are not supported, as in the tunnel, the end of the
		// handler ends a Read.
		_ = b.control.SetReadDeadline(time.Now().Add(lingerTime))
	}
}
