package stack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ergoproxy/ergo/deploy/demo/grpcecho"
)

// TestGRPC runs over HTTP/2 with TLS and in clear, both carriers, and both kinds of
// backend that speak HTTP/2.
func TestGRPC(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *cell)
	}{
		{"unary", testUnary},
		{"server streaming", testSplit},
		{"client streaming", testJoin},
		{"bidirectional", testChat},
		{"trailers only", testTrailersOnly},
		{"error in mid-stream", testErrorInStream},
		{"metadata", testMetadata},
		{"deadline", testDeadline},
		{"cancellation", testCancelCall},
	}
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier)
			for _, client := range []string{"h2", "h2c"} {
				for _, backend := range []string{"h2", "h2c"} {
					for _, tt := range tests {
						t.Run(client+"/"+backend+"/"+tt.name, func(t *testing.T) {
							t.Parallel()
							tt.run(t, newCell(t, in, client, backend))
						})
					}
				}
			}
		})
	}
}

// grpc returns a connection for one call, whose line in the access log is e.
func (c *cell) grpc(t testing.TB, e entry) *grpc.ClientConn {
	t.Helper()
	agent := c.in.book.agent(t)
	c.in.book.rename(agent, agent+" grpc-go/"+grpc.Version, e)
	creds := insecure.NewCredentials()
	if c.client == "h2" {
		creds = credentials.NewTLS(clientTLS(c.in.CA, "h2"))
	}
	addr := strings.SplitN(c.url, "://", 2)[1]
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(anyName{creds}),
		grpc.WithAuthority(c.host()), grpc.WithUserAgent(agent), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// anyName verifies the edge by its address, whatever the authority of the calls.
type anyName struct {
	credentials.TransportCredentials
}

func (a anyName) Clone() credentials.TransportCredentials {
	return anyName{a.TransportCredentials.Clone()}
}

func (a anyName) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return a.TransportCredentials.ClientHandshake(ctx, "127.0.0.1", conn)
}

var wentWell = entry{Status: 200}

func testUnary(t *testing.T, c *cell) {
	for _, size := range []int{0, 1, 1 << 20} {
		in := bytes.Repeat([]byte("u"), size)
		got, err := grpcecho.Unary(t.Context(), c.grpc(t, wentWell), in)
		if err != nil || !bytes.Equal(got, in) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
}

func testSplit(t *testing.T, c *cell) {
	got, err := grpcecho.Split(t.Context(), c.grpc(t, wentWell), []byte("split me"))
	if err != nil || string(bytes.Join(got, []byte("|"))) != "s|p|l|i|t| |m|e" {
		t.Errorf("%q, %v", got, err)
	}
}

func testJoin(t *testing.T, c *cell) {
	got, err := grpcecho.Join(t.Context(), c.grpc(t, wentWell), [][]byte{[]byte("to"), []byte("get"), []byte("her")})
	if err != nil || string(got) != "together" {
		t.Errorf("%q, %v", got, err)
	}
}

func testChat(t *testing.T, c *cell) {
	chat, err := grpcecho.Chat(t.Context(), c.grpc(t, wentWell))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		piece := bytes.Repeat([]byte{byte(i)}, i*100)
		if err := chat.Send(piece); err != nil {
			t.Fatal(err)
		}
		if got, err := chat.Receive(); err != nil || !bytes.Equal(got, piece) {
			t.Fatalf("message %d came back as %d bytes, %v", i, len(got), err)
		}
	}
	if err := chat.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func testTrailersOnly(t *testing.T, c *cell) {
	err := grpcecho.TrailersOnly(t.Context(), c.grpc(t, wentWell))
	if s := status.Convert(err); s.Code() != codes.PermissionDenied || s.Message() != "refused by the demo backend" {
		t.Errorf("%v", err)
	}
}

func testErrorInStream(t *testing.T, c *cell) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), grpcecho.FailCode, strconv.Itoa(int(codes.ResourceExhausted)), grpcecho.FailAfter, "3")
	got, err := grpcecho.Split(ctx, c.grpc(t, wentWell), []byte("abcdef"))
	if len(got) != 3 || status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "failed as ordered after 3 messages" {
		t.Errorf("%q, %v", got, err)
	}
}

func testMetadata(t *testing.T, c *cell) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "echo-text", "a, b", "echo-text", "c", "echo-data-bin", "\x00\xff\x01")
	var header, trailer metadata.MD
	if _, err := grpcecho.Unary(ctx, c.grpc(t, wentWell), []byte("x"), grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	for name, md := range map[string]metadata.MD{"header": header, "trailer": trailer} {
		if got := strings.Join(md.Get("echo-text"), "|"); got != "a, b|c" {
			t.Errorf("%s has echo-text %q", name, got)
		}
		if got := strings.Join(md.Get("echo-data-bin"), "|"); got != "\x00\xff\x01" {
			t.Errorf("%s has echo-data-bin %q", name, got)
		}
	}
	if header.Get(grpcecho.Backend)[0] != c.backend || len(header.Get("x-request-id")) != 1 {
		t.Errorf("header %v", header)
	}
}

// testDeadline checks that the backend learns of the deadline, and that a call
// ends when it is over.
func testDeadline(t *testing.T, c *cell) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var header metadata.MD
	if _, err := grpcecho.Unary(ctx, c.grpc(t, wentWell), nil, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if ms, err := strconv.Atoi(header.Get(grpcecho.DeadlineMS)[0]); err != nil || ms <= 0 || ms > int(patience.Milliseconds()) {
		t.Errorf("backend was given %v ms", header.Get(grpcecho.DeadlineMS))
	}
	ctx, cancel = context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), grpcecho.Delay, "1m"), 200*time.Millisecond)
	defer cancel()
	// Client and backend give up at the same moment: who is first is logged.
	cc := c.grpc(t, entry{Status: 200, Aborted: "client", ProxyStatus: "connection_terminated",
		or: &entry{Status: 200, Aborted: "client", or: &entry{Status: 200}}})
	if _, err := grpcecho.Unary(ctx, cc, nil); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func testCancelCall(t *testing.T, c *cell) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	chat, err := grpcecho.Chat(ctx, c.grpc(t, entry{Status: 200, Aborted: "client", ProxyStatus: "connection_terminated"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.Send([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Receive(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := chat.Receive(); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
}
