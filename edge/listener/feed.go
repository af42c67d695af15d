package listener

import (
	"net"
	"sync"
)

// A feed is the net.Listener through which net/http gets connections that are
// ready to be served.
type feed struct {
	from  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newFeed(from net.Addr) *feed {
	return &feed{from: from, conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands c over; it closes c if the feed is closed.
func (f *feed) put(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		c.Close()
	}
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

func (f *feed) Addr() net.Addr { return f.from }
