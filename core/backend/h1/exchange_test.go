package h1_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/ergoproxy/ergo/core/backend/h1"
)

const okEmpty = ok + "Content-Length: 0\r\n\r\n"

func TestUpgradeGivesTheConnection(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	spawn(t, func() {
		backend.head(t)
		backend.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhi ")
		io.Copy(backend, backend.in)
		backend.CloseWrite()
		backend.head2(t)
	})
	req := request("GET", nil, 0)
	req.Header.Set("Upgrade", "echo")
	resp, err := conn.RoundTrip(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	rw := resp.Body.(*h1.Upgraded)
	io.WriteString(rw, "there")
	buf := make([]byte, 8)
	if _, err := io.ReadFull(rw, buf); string(buf) != "hi there" || err != nil {
		t.Errorf("%q, %v", buf, err)
	}
	rw.Close()
	if _, err := rw.Write([]byte("x")); err == nil {
		t.Error("write after Close")
	}
	if freed.Load() != 0 {
		t.Error("an upgraded connection is used again")
	}
}

// head2 reads on: nothing is to come.
func (p *peer) head2(t testing.TB) {
	if rest, _ := io.ReadAll(p.in); len(rest) > 0 {
		t.Errorf("backend got %q", rest)
	}
}

// The end of one direction leaves the other open.
func TestUpgradedDirectionsEndAlone(t *testing.T) {
	conn, backend, _ := connect(t, nil)
	late := make(chan string)
	spawn(t, func() {
		backend.head(t)
		backend.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
		backend.CloseWrite()
		all, _ := io.ReadAll(backend.in)
		late <- string(all)
	})
	req := request("GET", nil, 0)
	req.Header.Set("Upgrade", "x")
	resp, err := conn.RoundTrip(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if _, err := io.WriteString(resp.Body.(io.Writer), "late"); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	if got := <-late; got != "late" {
		t.Errorf("backend got %q", got)
	}
}

func TestCloseWhileReading(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	spawn(t, func() { backend.head(t); backend.say(ok + "Content-Length: 100\r\n\r\nabc"); closedByUs(t, backend) })
	resp, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	spawn(t, func() { _, err := io.ReadAll(resp.Body); done <- err })
	resp.Body.Close()
	if err := <-done; err == nil || freed.Load() != 0 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
}

func TestResponseInSmallPieces(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	text := "HTTP/1.1 103 x\r\n\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
	spawn(t, func() {
		backend.head(t)
		backend.SetNoDelay(true)
		for i := range text {
			backend.say(text[i : i+1])
		}
	})
	resp, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "abcde" || err != nil || resp.Trailer.Get("X") != "y" {
		t.Errorf("%q, %v", body, err)
	}
	if freed.Load() != 1 {
		t.Error("not freed")
	}
}

// What has come is returned before more is waited for, in the middle of chunks
// and before trailers.
func TestChunksAreNotHeldBack(t *testing.T) {
	conn, backend, _ := connect(t, nil)
	next := make(chan struct{})
	pieces := []string{"3\r\nabc", "\r\n3\r\ndef\r\n", "2\r\ngh\r\n0\r\nX: y\r\n"}
	spawn(t, func() {
		backend.head(t)
		backend.say(ok + "Transfer-Encoding: chunked\r\n\r\n")
		for _, piece := range pieces {
			<-next
			backend.say(piece)
		}
		<-next
		backend.say("\r\n")
	})
	resp, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8<<10)
	for _, want := range []string{"abc", "def", "gh"} {
		next <- struct{}{}
		if n, err := resp.Body.Read(buf); string(buf[:n]) != want || err != nil {
			t.Fatalf("%q, %v, want %q", buf[:n], err, want)
		}
	}
	next <- struct{}{}
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestLargeBodies(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, length := range []int64{int64(len(big)), -1} {
		conn, backend, freed := connect(t, nil)
		spawn(t, func() {
			r := backend.head(t)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("backend reads: %v", err)
			}
			resp := &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: length, Body: io.NopCloser(bytes.NewReader(body))}
			if length < 0 {
				resp.TransferEncoding = []string{"chunked"}
			}
			resp.Write(backend)
		})
		resp, err := conn.RoundTrip(t.Context(), request("PUT", bytes.NewReader(big), length), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); !bytes.Equal(body, big) || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		eventually(t, "freed", func() bool { return freed.Load() == 1 })
	}
}

func TestErrorOfInformationalEndsTheExchange(t *testing.T) {
	conn, backend, freed := connect(t, nil)
	spawn(t, func() { backend.head(t); backend.say("HTTP/1.1 103 x\r\n\r\n" + okEmpty) })
	if _, err := conn.RoundTrip(t.Context(), request("GET", nil, 0), func(int, http.Header) error { return io.ErrClosedPipe }); err != io.ErrClosedPipe || freed.Load() != 0 {
		t.Errorf("%v, freed %d", err, freed.Load())
	}
}
