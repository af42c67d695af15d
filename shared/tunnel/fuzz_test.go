package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/ergoproxy/ergo/shared/tunnel"
)

func payloads(f *testing.F, names ...string) {
	for _, s := range samples() {
		for _, name := range names {
			if s.name == name {
				_, n, _ := tunnel.ParseHeader(s.frame)
				f.Add(s.frame[n:])
			}
		}
	}
}

// again encodes what was read and reads it again: both must be the same.
func again[T any](t *testing.T, first T, encoded []byte, err error, parse func(string) (T, error)) {
	t.Helper()
	if err != nil {
		t.Fatalf("encode what was read: %v", err)
	}
	second, err := parse(string(encoded))
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("\n1st %+v\n2nd %+v, %v", first, second, err)
	}
}

func FuzzRequestHead(f *testing.F) {
	payloads(f, "head-small", "head-full", "head-upgrade")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := tunnel.ParseRequestHead(string(b))
		if err != nil {
			if !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		if h.ContentLength > 0 && !h.HasBody {
			return // a length without a body is read and not written
		}
		encoded, err := tunnel.AppendRequestHead(nil, h)
		if h.Client.TLSVersion == 0 {
			return // facts of a TLS that is none are not written
		}
		again(t, h, encoded, err, tunnel.ParseRequestHead)
	})
}

func FuzzResponseHead(f *testing.F) {
	payloads(f, "response", "informational")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := tunnel.ParseResponseHead(string(b))
		if err != nil {
			if !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		encoded, err := tunnel.AppendResponseHead(nil, h)
		again(t, h, encoded, err, tunnel.ParseResponseHead)
	})
}

func FuzzTrailers(f *testing.F) {
	payloads(f, "trailers")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := tunnel.ParseTrailers(string(b))
		if err != nil {
			if !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		encoded, err := tunnel.AppendTrailers(nil, h)
		again(t, h, encoded, err, tunnel.ParseTrailers)
	})
}

func FuzzEnd(f *testing.F) {
	payloads(f, "end")
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := tunnel.ParseEnd(string(b))
		if err != nil {
			if !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		if e.Report.Error == 0 {
			e.Report.ErrorHop = "" // "no error" is not written
		}
		again(t, e, tunnel.AppendEnd(nil, &e), nil, tunnel.ParseEnd)
	})
}

func FuzzControl(f *testing.F) {
	for _, s := range samples() {
		if h, n, _ := tunnel.ParseHeader(s.frame); h.Type >= tunnel.FrameHello {
			f.Add(byte(h.Type), s.frame[n:])
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		m, err := tunnel.ParseControl(tunnel.FrameType(kind), string(b))
		if err != nil && !errors.Is(err, tunnel.ErrProtocol) {
			t.Fatal(err)
		}
		if hello, ok := m.(tunnel.Hello); ok && err == nil {
			_, n, err := tunnel.ParseHeader(tunnel.AppendHello(nil, &hello))
			if err != nil {
				t.Fatal(err)
			}
			again(t, m, tunnel.AppendHello(nil, &hello)[n:], nil, func(p string) (any, error) {
				return tunnel.ParseControl(tunnel.FrameHello, p)
			})
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.frame[:2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := tunnel.ParseHeader(b)
		if err != nil {
			if err != io.ErrUnexpectedEOF && !errors.Is(err, tunnel.ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		second, _, err := tunnel.ParseHeader(tunnel.AppendHeader(nil, h))
		if n > len(b) || err != nil || second != h {
			t.Fatalf("%+v, %d bytes of %d; again %+v, %v", h, n, len(b), second, err)
		}
	})
}

// memoryStream is a Stream whose peer has sent everything and takes everything.
type memoryStream struct{ io.Reader }

func (memoryStream) Write(p []byte) (int, error) { return len(p), nil }
func (memoryStream) Number() uint64              { return 4 }
func (memoryStream) Context() context.Context    { return context.Background() }
func (memoryStream) Leave()                      {}
func (memoryStream) Abort(tunnel.Code)           {}

// FuzzLane reads a whole lane as a core does: heads, bodies, trailers, ends.
func FuzzLane(f *testing.F) {
	all := samples()
	full := bytes.Join([][]byte{all[1].frame, frame(tunnel.FrameBody, []byte("hello")), all[5].frame, frame(tunnel.FrameEnd, nil)}, nil)
	f.Add(full)
	f.Add(append(bytes.Clone(all[0].frame), full...))
	f.Add(append(frame(0x40, []byte("extension")), full...))
	f.Add([]byte{byte(tunnel.FrameAbort), 1, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		lane := tunnel.NewLane(memoryStream{bytes.NewReader(b)}, nil)
		if err := readExchanges(lane); err == nil {
			t.Fatal("a lane never ends")
		}
	})
}

func readExchanges(lane *tunnel.Lane) error {
	for {
		h, err := lane.Next()
		if err != nil {
			return err
		}
		payload, err := lane.Payload(h.Length)
		if err != nil {
			return err
		}
		head, err := tunnel.ParseRequestHead(payload)
		if err != nil {
			return err
		}
		lane.Begin(head.Credit)
		if head.HasBody {
			if _, err := io.Copy(io.Discard, tunnel.NewBodyReader(lane)); err != nil {
				return err
			}
		}
		lane.End()
	}
}
