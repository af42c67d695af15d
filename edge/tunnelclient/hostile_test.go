package tunnelclient_test

import (
	"bytes"
	"testing"

	"github.com/ergoproxy/ergo/shared/retry"
	"github.com/ergoproxy/ergo/shared/tunnel"
	"github.com/ergoproxy/ergo/shared/tunnel/tunneltest"
)

func TestHelloOfAnotherCoreIsRefused(t *testing.T) {
	core := newCore(t)
	core.hello.Name = "core-2"
	go core.accept(serveHello)
	e := connect(t, core.ids, core.Address, nil)
	tunneltest.Wait(t, "a log line", func() bool { return e.log.has("core-2") })
	if e.Usable() {
		t.Error("usable")
	}
}

func TestCoreThatBreaksTheProtocolLosesTheConnection(t *testing.T) {
	head := func(t tunnel.FrameType, h tunnel.ResponseHead) []byte {
		b, err := tunnel.AppendResponseHead(nil, &h)
		if err != nil {
			panic(err)
		}
		return append(tunnel.AppendHeader(nil, tunnel.Header{Type: t, Length: len(b)}), b...)
	}
	for name, b := range map[string][]byte{
		"random bytes":            {0x3f, 0x01, 0x02},
		"an oversized length":     {byte(tunnel.FrameResponse), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a request from a core":   {byte(tunnel.FrameHead), 0},
		"a body without a head":   {byte(tunnel.FrameBody), 1, 'x'},
		"a final status as 1xx":   head(tunnel.FrameInformational, tunnel.ResponseHead{Status: 200}),
		"a 1xx as final":          head(tunnel.FrameResponse, tunnel.ResponseHead{Status: 103}),
		"101 and nobody asked":    head(tunnel.FrameResponse, tunnel.ResponseHead{Status: 101}),
		"1xx without end":         bytes.Repeat(head(tunnel.FrameInformational, tunnel.ResponseHead{Status: 103}), tunnel.MaxInformational+2),
		"a head in the body":      append(head(tunnel.FrameResponse, tunnel.ResponseHead{Status: 200, ContentLength: -1}), byte(tunnel.FrameResponse), 0),
		"a body longer than said": append(head(tunnel.FrameResponse, tunnel.ResponseHead{Status: 200, ContentLength: 1}), byte(tunnel.FrameBody), 2, 'x', 'y'),
		"a body shorter":          append(head(tunnel.FrameResponse, tunnel.ResponseHead{Status: 200, ContentLength: 1}), byte(tunnel.FrameEnd), 0),
	} {
		t.Run(name, func(t *testing.T) {
			e, _, conn := start(t, func(l *tunnel.Lane) { readHead(l); l.Stream.Write(b) }, nil)
			if _, err := e.get(); err == nil || stage(err) != retry.Unknown {
				t.Errorf("%v, stage %v", err, stage(err))
			}
			<-conn.Gone().Done()
			tunneltest.Wait(t, "a log line", func() bool { return e.log.has("core broke the tunnel protocol") })
		})
	}
}

func TestControlViolationsOfACore(t *testing.T) {
	for name, b := range map[string][]byte{
		"HELLO again":       tunnel.AppendHello(nil, &tunnel.Hello{Version: 1}),
		"ATTACH":            tunnel.AppendAttach(nil, tunnel.Attach{}),
		"CANCEL":            tunnel.AppendCancel(nil, tunnel.Cancel{}),
		"PINGs without end": bytes.Repeat(tunnel.AppendPing(nil, tunnel.Ping{}), tunnel.MaxPings+1),
	} {
		t.Run(name, func(t *testing.T) {
			e, _, conn := start(t, serveHello, nil)
			conn.Control.Write(b)
			<-conn.Gone().Done()
			tunneltest.Wait(t, "a log line", func() bool { return e.log.has("core broke the tunnel protocol") })
		})
	}
}
