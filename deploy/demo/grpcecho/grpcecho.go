// Package grpcecho is the gRPC side of the demo backend: one service with all
// four kinds of methods, and the calls for clients of it. Messages are
// google.protobuf.BytesValue, so that no generated code is needed.
//
//	ergo.demo.Echo/Unary         one message back
//	ergo.demo.Echo/Split         server streaming: the message back, one byte a message
//	ergo.demo.Echo/Join          client streaming: all messages back as one, up to 1 MiB
//	ergo.demo.Echo/Chat          bidirectional: each message back as it arrives
//	ergo.demo.Echo/TrailersOnly  refused with PermissionDenied in a head that ends the stream
//
// What a method does besides is asked for in the request's metadata:
//
//	echo-...            comes back in the header metadata and in the trailing metadata
//	demo-fail-code: N   the call ends with that status code, details in the message
//	demo-fail-after: N  ... after N messages were sent back; unset: before the first
//	demo-delay: D       waits that long before it begins, unless the deadline comes first
//
// Header metadata always has demo-backend, and demo-deadline-ms with the time
// that the server was given if the call has a deadline.
package grpcecho

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	service  = "ergo.demo.Echo"
	maxJoin  = 1 << 20
	maxDelay = 10 * time.Minute
)

// Metadata keys that steer a call, and that the server answers with.
const (
	FailCode   = "demo-fail-code"
	FailAfter  = "demo-fail-after"
	Delay      = "demo-delay"
	Backend    = "demo-backend"
	DeadlineMS = "demo-deadline-ms"
	EchoPrefix = "echo-"
)

type message = wrapperspb.BytesValue

// echo is the server; name goes into demo-backend.
type echo struct{ name string }

// Register adds the service to a gRPC server, which then answers as name.
// TrailersOnly is refused there as gRPC refuses a call that sent nothing.
func Register(s grpc.ServiceRegistrar, name string) { s.RegisterService(&description, &echo{name}) }

// NewHandler returns the service as a handler for an HTTP/2 server. It is safe
// for concurrent use.
func NewHandler(name string) http.Handler {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(4 << 20))
	Register(server, name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+service+"/TrailersOnly" {
			// gRPC over net/http always sends a head and then trailers, so this
			// one answer is made by hand.
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set(Backend, name)
			w.Header().Set("Grpc-Status", strconv.Itoa(int(codes.PermissionDenied)))
			w.Header().Set("Grpc-Message", refusal)
			return
		}
		server.ServeHTTP(w, r)
	})
}

const refusal = "refused by the demo backend"

var description = grpc.ServiceDesc{
	ServiceName: service,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Unary", Handler: unaryHandler},
		{MethodName: "TrailersOnly", Handler: trailersOnlyHandler},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Split", ServerStreams: true, Handler: streamHandler((*echo).split)},
		{StreamName: "Join", ClientStreams: true, Handler: streamHandler((*echo).join)},
		{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: streamHandler((*echo).chat)},
	},
}

// stream is any of the three streaming kinds, as the server sees it.
type stream = grpc.GenericServerStream[message, message]

func streamHandler(method func(*echo, *stream, *order) error) grpc.StreamHandler {
	return func(server any, s grpc.ServerStream) error {
		e := server.(*echo)
		o, err := e.begin(s.Context(), s.SendHeader, s.SetTrailer)
		if err != nil {
			return err
		}
		return method(e, &stream{ServerStream: s}, o)
	}
}

func unaryHandler(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(message)
	if err := decode(in); err != nil {
		return nil, err
	}
	o, err := server.(*echo).begin(ctx,
		func(md metadata.MD) error { return grpc.SendHeader(ctx, md) },
		func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) }) // fails only after the call has ended
	if err != nil {
		return nil, err
	}
	if err := o.failAt(0); err != nil {
		return nil, err
	}
	return in, nil
}

func trailersOnlyHandler(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(message)); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.PermissionDenied, refusal)
}

func (e *echo) split(s *stream, o *order) error {
	in, err := s.Recv()
	if err != nil {
		return err
	}
	for i := range in.Value {
		if err := o.failAt(i); err != nil {
			return err
		}
		if err := s.Send(wrapperspb.Bytes(in.Value[i : i+1])); err != nil {
			return err
		}
	}
	return o.failAt(len(in.Value))
}

func (e *echo) join(s *stream, o *order) error {
	if err := o.failAt(0); err != nil {
		return err
	}
	var all []byte
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.Bytes(all))
		}
		if err != nil {
			return err
		}
		if len(all)+len(in.Value) > maxJoin {
			return status.Errorf(codes.ResourceExhausted, "more than %d bytes in all", maxJoin)
		}
		all = append(all, in.Value...)
	}
}

func (e *echo) chat(s *stream, o *order) error {
	for i := 0; ; i++ {
		if err := o.failAt(i); err != nil {
			return err
		}
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(in); err != nil {
			return err
		}
	}
}

// begin does what all methods have in common: metadata both ways and the delay.
func (e *echo) begin(ctx context.Context, sendHeader func(metadata.MD) error, setTrailer func(metadata.MD)) (*order, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	o, err := readOrder(in)
	if err != nil {
		return nil, err
	}
	header, trailer := metadata.Pairs(Backend, e.name), metadata.MD{}
	if deadline, ok := ctx.Deadline(); ok {
		header.Set(DeadlineMS, strconv.FormatInt(time.Until(deadline).Milliseconds(), 10))
	}
	for key, values := range in {
		if strings.HasPrefix(key, EchoPrefix) {
			header[key], trailer[key] = values, values
		}
	}
	setTrailer(trailer)
	if err := sendHeader(header); err != nil {
		return nil, err
	}
	timer := time.NewTimer(o.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return o, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// An order is what the metadata of a call asks for.
type order struct {
	code  codes.Code // OK: do not fail
	after int        // messages sent back before the failure
	delay time.Duration
}

func readOrder(md metadata.MD) (*order, error) {
	o := new(order)
	number := func(key string, high int) (int, error) {
		values := md.Get(key)
		if len(values) == 0 {
			return 0, nil
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 0 || n > high {
			return 0, status.Errorf(codes.InvalidArgument, "%s: %q, want a whole number from 0 to %d", key, values[0], high)
		}
		return n, nil
	}
	code, err := number(FailCode, int(codes.Unauthenticated))
	if err != nil {
		return nil, err
	}
	o.code = codes.Code(code)
	if o.after, err = number(FailAfter, 1<<30); err != nil {
		return nil, err
	}
	if values := md.Get(Delay); len(values) > 0 {
		if o.delay, err = time.ParseDuration(values[0]); err != nil || o.delay < 0 || o.delay > maxDelay {
			return nil, status.Errorf(codes.InvalidArgument, "%s: %q, want a duration from 0s to %s", Delay, values[0], maxDelay)
		}
	}
	return o, nil
}

// failAt returns the ordered failure once sent messages went back.
func (o *order) failAt(sent int) error {
	if o.code == codes.OK || sent != o.after {
		return nil
	}
	return status.Errorf(o.code, "failed as ordered after %d messages", sent)
}
