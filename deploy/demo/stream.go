package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// stream sends pieces of the pattern, which run on from one to the next.
func stream(w http.ResponseWriter, r *http.Request) {
	p := query(r)
	chunks := p.number("chunks", 10, 0, maxChunks)
	size := p.number("size", defaultSize, 1, maxChunk)
	delay := p.duration("delay")
	if p.refuse(w) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := http.NewResponseController(w)
	body := NewPattern(chunks * size)
	for i := range chunks {
		if i > 0 && !wait(r, delay) {
			return
		}
		if _, err := io.CopyN(w, body, size); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
	}
}

func (h *Handler) trailers(w http.ResponseWriter, r *http.Request) {
	const body = "the trailers come after this line\n"
	header := w.Header()
	header.Set("Trailer", "Demo-Sha256")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, body)
	// A body of unknown length is chunked in HTTP/1.1, which trailers need.
	_ = http.NewResponseController(w).Flush()
	sum := sha256.Sum256([]byte(body))
	header.Set("Demo-Sha256", hex.EncodeToString(sum[:]))
	header.Set(http.TrailerPrefix+"Demo-Late", h.name)
}

func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	p := query(r)
	events := p.number("events", 10, 1, maxChunks)
	interval := p.duration("interval")
	first := int64(1)
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		n, err := number("Last-Event-ID", last, 0, maxChunks)
		if err != nil && p.err == nil {
			p.err = err
		}
		first = n + 1
	}
	if p.refuse(w) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for id := first; id <= events; id++ {
		if id > first && !wait(r, interval) {
			return
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: tick\ndata: %s %s\n\n", id, h.name, instant(time.Now())); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
	}
}

// echo sends back each piece of the request body as soon as it is there.
func echo(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	// HTTP/3 does not know the call because it has no other mode.
	if err := out.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		http.Error(w, "full duplex: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	} else {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	if out.Flush() != nil { // the head, so that a client may wait for it before it sends
		return
	}
	buffer := make([]byte, maxEcho)
	for {
		n, err := r.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			if out.Flush() != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // a cut body must not look complete to who reads the echo
		}
	}
}

func die(w http.ResponseWriter, r *http.Request) {
	p := query(r)
	after := p.number("after", 0, -1, maxBytes)
	length := p.number("length", max(after, 0)+defaultSize, 1, maxBytes)
	if p.err == nil && length <= after {
		p.err = fmt.Errorf("length: %d, want more than after, which is %d", length, after)
	}
	if p.refuse(w) {
		return
	}
	if after >= 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
		w.WriteHeader(http.StatusOK)
		_, _ = NewPattern(after).WriteTo(w)
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// webSocket echoes messages. Any Origin may connect: the echo has nothing that
// a foreign page could misuse.
func webSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}
