package backend

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// The scanner must not depend on how the network cuts the bytes.
func TestFrameScannerFollowsAnyCut(t *testing.T) {
	var sent, received bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&sent, nil)
	fr.WriteSettings(http2.Setting{ID: http2.SettingEnablePush})
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: make([]byte, 300), EndHeaders: true})
	fr.WriteData(5, true, bytes.Repeat([]byte{0, 0, 0, frameHeaders, 0, 0, 0, 0, 99}, 50))
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{1}, EndHeaders: true}) // trailers
	fr = http2.NewFramer(&received, nil)
	fr.WriteSettings()
	fr.WriteData(5, false, bytes.Repeat([]byte{0, 0, 8, frameGoAway}, 100))
	fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, []byte("soon"))
	fr.WriteGoAway(3, http2.ErrCodeNo, nil)
	fr.WritePing(false, [8]byte{})
	for step := 1; step < 60; step++ {
		w := newFrameWatch()
		if w.lastOpened() != 0 || w.refused(1<<31-1) {
			t.Fatal("a new connection has streams or refuses them")
		}
		feed(&w.sent, sent.Bytes(), step)
		feed(&w.received, received.Bytes(), step)
		if w.lastOpened() != 5 || !w.refused(5) || w.refused(3) {
			t.Fatalf("in steps of %d: last opened %d, GOAWAY %d; want 5, 3", step, w.lastOpened(), w.received.goAway.Load())
		}
	}
}

func feed(s *frameScanner, p []byte, step int) {
	for len(p) > 0 {
		n := min(step, len(p))
		s.feed(p[:n])
		p = p[n:]
	}
}

func FuzzFrameScanner(f *testing.F) {
	f.Add([]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00"), 3)
	f.Add([]byte("\x00\x00\x00\x01\x04\x00\x00\x00\x05"), 1)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, p []byte, step int) {
		var whole, cut frameScanner
		whole.feed(p)
		feed(&cut, p, max(step, 1))
		if whole.headers.Load() != cut.headers.Load() || whole.goAway.Load() != cut.goAway.Load() || whole.skip != cut.skip {
			t.Errorf("cut in steps of %d, the frames read differently", step)
		}
	})
}
