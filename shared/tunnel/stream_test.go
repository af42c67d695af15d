package tunnel_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs f over both carriers.
func each(t *testing.T, f func(t *testing.T, edge, core *tunnel.Lane)) {
	for name, quic := range map[string]bool{"quic": true, "tcp": false} {
		t.Run(name, func(t *testing.T) {
			edge, core := tunneltest.Pair(t, quic)
			f(t, edge, core)
		})
	}
}

func TestAbortTellsTheCode(t *testing.T) {
	each(t, func(t *testing.T, edge, core *tunnel.Lane) {
		core.Abort(tunnel.RefusedCode(proxystatus.ConnectionLimitReached))
		core.Abort(tunnel.NewCode(proxystatus.None)) // the first one counts
		_, err := edge.Next()
		var aborted *tunnel.AbortError
		if !errors.As(err, &aborted) || !aborted.Code.Refused() || aborted.Code.Type() != proxystatus.ConnectionLimitReached {
			t.Errorf("peer reads %v", err)
		}
		<-edge.Context().Done()
		if _, err := core.Next(); err == nil {
			t.Error("an aborted lane can be read")
		}
		if _, err := core.Stream.Write([]byte("x")); err == nil {
			t.Error("an aborted lane can be written")
		}
	})
}

func TestAbortOvertakesUnreadData(t *testing.T) {
	edge, core := tunneltest.Pair(t, false)
	edge.Begin(0)
	// More than the kernels hold, so that closing the connection at once would
	// reset it, and the code would be lost.
	wrote := make(chan error, 1)
	go func() { wrote <- edge.WriteBody(t.Context(), make([]byte, 32<<20)) }()
	if err := core.WaitReadable(); err != nil {
		t.Fatal(err)
	}
	core.Abort(tunnel.RefusedCode(proxystatus.DestinationUnavailable))
	_, err := edge.Next()
	var aborted *tunnel.AbortError
	if !errors.As(err, &aborted) || !aborted.Code.Refused() {
		t.Errorf("peer reads %v", err)
	}
	edge.Abort(0)
	<-wrote
}

func TestLeaveDeliversEverything(t *testing.T) {
	each(t, func(t *testing.T, edge, core *tunnel.Lane) {
		edge.Begin(0)
		core.Begin(0)
		if _, err := edge.Stream.Write(bytes.Repeat([]byte("unread "), 100)); err != nil {
			t.Fatal(err)
		}
		content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		sent := make(chan error, 1)
		go func() {
			err := core.WriteBody(t.Context(), content)
			if err == nil {
				err = core.WriteEnd(&tunnel.End{Last: true, Report: exchange.Report{Route: "all"}})
			}
			core.Leave()
			core.Leave()
			sent <- err
		}()
		body := tunnel.NewBodyReader(edge)
		got, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(got, content) || !body.Last || body.Report.Route != "all" {
			t.Errorf("%d of %d bytes, %v, last %v", len(got), len(content), err, body.Last)
		}
		edge.Abort(0)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestLeaveEndsAReadUnderWay(t *testing.T) {
	each(t, func(t *testing.T, edge, core *tunnel.Lane) {
		read := make(chan error, 1)
		go func() { _, err := core.Stream.Read(make([]byte, 1)); read <- err }()
		core.Leave()
		if err := <-read; err == nil {
			t.Error("a lane that was left can be read")
		}
		if _, err := edge.Stream.Read(make([]byte, 1)); err == nil {
			t.Error("the peer does not notice")
		}
	})
}

func TestTCPReadsAheadALimitedAmount(t *testing.T) {
	edge, core := tunneltest.Pair(t, false)
	const total = 64 << 20
	done := make(chan error, 1)
	go func() {
		_, err := edge.Stream.Write(make([]byte, total))
		done <- err
	}()
	if err := core.WaitReadable(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("64 MiB were taken though nobody reads (%v)", err)
	default:
	}
	if n, err := io.CopyN(io.Discard, core.Stream, total-(4<<10)); err != nil {
		t.Fatal(n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestExchangesFollowEachOtherOnALane(t *testing.T) {
	each(t, func(t *testing.T, edge, core *tunnel.Lane) {
		for range 3 {
			edge.Begin(0)
			h := smallRequest()
			h.HasBody, h.ContentLength, h.Trailer = true, -1, []string{"X-Sum", "Grpc-Status"}
			if err := errors.Join(edge.WriteRequest(h), edge.WriteBody(t.Context(), []byte("hello")),
				edge.WriteTrailers(http.Header{"X-Sum": {"1"}}), edge.WriteEnd(&tunnel.End{})); err != nil {
				t.Fatal(err)
			}
			frame, err := core.Next()
			if err != nil || frame.Type != tunnel.FrameHead {
				t.Fatal(frame, err)
			}
			payload, _ := core.Payload(frame.Length)
			if _, err := tunnel.ParseRequestHead(payload); err != nil {
				t.Fatal(err)
			}
			core.Begin(0)
			body := tunnel.NewBodyReader(core)
			got, err := io.ReadAll(body)
			if err != nil || string(got) != "hello" || body.Trailer.Get("X-Sum") != "1" || !body.Ended() {
				t.Fatalf("%q, %v, trailers %v", got, err, body.Trailer)
			}
			core.End()
			edge.End()
		}
	})
}

func TestLaneRefusesWhatThePeerWouldNotTake(t *testing.T) {
	lane := tunnel.NewLane(memoryStream{}, nil)
	h := smallRequest()
	h.Header = http.Header{}
	for i := range 20 {
		h.Header["A"+string(rune('a'+i))] = []string{string(bytes.Repeat([]byte("x"), 20_000))}
	}
	if err := lane.WriteRequest(h); !errors.Is(err, tunnel.ErrHeadSize) {
		t.Errorf("a head of 400 kB: %v", err)
	}
	if err := lane.WriteTrailers(http.Header{"A B": {"x"}}); !errors.Is(err, tunnel.ErrHeadSyntax) {
		t.Errorf("a trailer name with a space: %v", err)
	}
}

func TestBodyViolations(t *testing.T) {
	head := frame(tunnel.FrameHead, must(tunnel.AppendRequestHead(nil, smallRequest())))
	trailers := frame(tunnel.FrameTrailers, must(tunnel.AppendTrailers(nil, http.Header{"A": {"1"}})))
	body := frame(tunnel.FrameBody, []byte("x"))
	for name, b := range map[string][]byte{
		"head inside a body":     append(bytes.Clone(body), head...),
		"empty body frame":       frame(tunnel.FrameBody, nil),
		"body after trailers":    append(bytes.Clone(trailers), body...),
		"trailers twice":         append(bytes.Clone(trailers), trailers...),
		"control message":        tunnel.AppendPing(nil, tunnel.Ping{}),
		"unknown frame":          {0x3f, 0},
		"endless extensions":     bytes.Repeat([]byte{0x40, 0}, tunnel.MaxExtensions+1),
		"report that is no list": frame(tunnel.FrameEnd, []byte{1}),
	} {
		lane := tunnel.NewLane(memoryStream{bytes.NewReader(b)}, nil)
		if _, err := io.ReadAll(tunnel.NewBodyReader(lane)); !errors.Is(err, tunnel.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range body {
		lane := tunnel.NewLane(memoryStream{bytes.NewReader(body[:i])}, nil)
		if _, err := io.ReadAll(tunnel.NewBodyReader(lane)); err != io.ErrUnexpectedEOF {
			t.Errorf("body frame cut to %d bytes: %v", i, err)
		}
	}
}
