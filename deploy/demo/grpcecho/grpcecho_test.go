package grpcecho_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ergoproxy/ergo/deploy/demo"
	"github.com/ergoproxy/ergo/deploy/demo/grpcecho"
)

// eachServer runs f against the service over net/http, as the demo backend
// serves it, and over gRPC's own HTTP/2 server.
func eachServer(t *testing.T, f func(t *testing.T, ctx context.Context, cc *grpc.ClientConn)) {
	t.Run("net/http", func(t *testing.T) {
		server, err := demo.Listen(demo.Config{Name: "blue"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		t.Cleanup(func() { stop(); <-ended })
		call(t, server.Addr(), f)
	})
	t.Run("grpc", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		grpcecho.Register(server, "blue")
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		t.Cleanup(func() { server.Stop(); <-ended })
		call(t, listener.Addr().String(), f)
	})
}

func call(t *testing.T, address string, f func(t *testing.T, ctx context.Context, cc *grpc.ClientConn)) {
	cc, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	f(t, ctx, cc)
}

func TestUnaryEchoesBodyAndMetadata(t *testing.T) {
	eachServer(t, func(t *testing.T, ctx context.Context, cc *grpc.ClientConn) {
		var header, trailer metadata.MD
		ctx = metadata.AppendToOutgoingContext(ctx, "echo-a", "1", "echo-a", "2", "echo-b-bin", "\x00\xff")
		out, err := grpcecho.Unary(ctx, cc, []byte("hello"), grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || string(out) != "hello" {
			t.Fatalf("%q, %v", out, err)
		}
		for name, md := range map[string]metadata.MD{"header": header, "trailer": trailer} {
			if got := md.Get("echo-a"); len(got) != 2 || got[0] != "1" || got[1] != "2" {
				t.Errorf("%s: echo-a %q", name, got)
			}
			if got := md.Get("echo-b-bin"); len(got) != 1 || got[0] != "\x00\xff" {
				t.Errorf("%s: echo-b-bin %q", name, got)
			}
		}
		if got := header.Get(grpcecho.Backend); len(got) != 1 || got[0] != "blue" {
			t.Errorf("backend %q", got)
		}
		left, err := strconv.Atoi(header.Get(grpcecho.DeadlineMS)[0])
		if err != nil || left <= 0 || left > 30_000 {
			t.Errorf("deadline: %d ms left, %v", left, err)
		}
	})
}

func TestStreamingKinds(t *testing.T) {
	eachServer(t, func(t *testing.T, ctx context.Context, cc *grpc.ClientConn) {
		pieces, err := grpcecho.Split(ctx, cc, []byte("abc"))
		if err != nil || len(pieces) != 3 || string(bytes.Join(pieces, []byte("-"))) != "a-b-c" {
			t.Errorf("Split: %q, %v", pieces, err)
		}
		joined, err := grpcecho.Join(ctx, cc, pieces)
		if err != nil || string(joined) != "abc" {
			t.Errorf("Join: %q, %v", joined, err)
		}
		chat, err := grpcecho.Chat(ctx, cc)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"one", "two"} { // each answer before the next message
			if err := chat.Send([]byte(word)); err != nil {
				t.Fatal(err)
			}
			if got, err := chat.Receive(); string(got) != word || err != nil {
				t.Fatalf("Chat: %q, %v", got, err)
			}
		}
		if err := chat.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("end of Chat: %v", err)
		}
	})
}

func TestOrderedFailures(t *testing.T) {
	eachServer(t, func(t *testing.T, ctx context.Context, cc *grpc.ClientConn) {
		failing := metadata.AppendToOutgoingContext(ctx, grpcecho.FailCode, "9", "echo-a", "1")
		var trailer metadata.MD
		if _, err := grpcecho.Unary(failing, cc, nil, grpc.Trailer(&trailer)); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("Unary: %v", err)
		}
		if got := trailer.Get("echo-a"); len(got) != 1 {
			t.Errorf("trailing metadata of a failure: %v", trailer)
		}
		late := metadata.AppendToOutgoingContext(failing, grpcecho.FailAfter, "2")
		if pieces, err := grpcecho.Split(late, cc, []byte("abc")); len(pieces) != 2 || status.Code(err) != codes.FailedPrecondition {
			t.Errorf("Split: %d pieces, then %v", len(pieces), err)
		}
		if _, err := grpcecho.Join(failing, cc, [][]byte{{1}}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("Join: %v", err)
		}
		big := make([]byte, 600<<10)
		if _, err := grpcecho.Join(ctx, cc, [][]byte{big, big}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("Join over its limit: %v", err)
		}
		for key, value := range map[string]string{grpcecho.FailCode: "17", grpcecho.FailAfter: "-1", grpcecho.Delay: "soon"} {
			bad := metadata.AppendToOutgoingContext(ctx, key, value)
			if _, err := grpcecho.Unary(bad, cc, nil); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %s: %v", key, value, err)
			}
		}
		if err := cc.Invoke(ctx, "/ergo.demo.Echo/Nothing", nil, nil); status.Code(err) == codes.OK {
			t.Error("an unknown method was answered")
		}
	})
}

func TestDeadlineEndsTheCall(t *testing.T) {
	eachServer(t, func(t *testing.T, ctx context.Context, cc *grpc.ClientConn) {
		ctx = metadata.AppendToOutgoingContext(ctx, grpcecho.Delay, "10m")
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := grpcecho.Unary(ctx, cc, nil); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

func TestTrailersOnlyIsRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, ctx context.Context, cc *grpc.ClientConn) {
		err := grpcecho.TrailersOnly(ctx, cc)
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "refused by the demo backend" {
			t.Errorf("%v", err)
		}
	})
}

// TestTrailersOnlyIsOneHead looks below gRPC: the status stands in the head,
// and no trailers follow.
func TestTrailersOnlyIsOneHead(t *testing.T) {
	server, err := demo.Listen(demo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	defer func() { stop(); <-ended }()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, "POST", server.URL()+"/ergo.demo.Echo/TrailersOnly", bytes.NewReader([]byte{0, 0, 0, 0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if len(body) != 0 || err != nil || len(response.Trailer) != 0 {
		t.Errorf("body %q, %v, trailers %v", body, err, response.Trailer)
	}
	if got := response.Header.Get("Grpc-Status"); got != "7" {
		t.Errorf("Grpc-Status %q in the head", got)
	}
}
