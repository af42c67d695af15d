package grpcecho

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Unary calls the unary method.
func Unary(ctx context.Context, cc grpc.ClientConnInterface, in []byte, options ...grpc.CallOption) ([]byte, error) {
	return invoke(ctx, cc, "Unary", in, options)
}

// TrailersOnly calls the method that is always refused.
func TrailersOnly(ctx context.Context, cc grpc.ClientConnInterface, options ...grpc.CallOption) error {
	_, err := invoke(ctx, cc, "TrailersOnly", nil, options)
	return err
}

func invoke(ctx context.Context, cc grpc.ClientConnInterface, method string, in []byte, options []grpc.CallOption) ([]byte, error) {
	out := new(message)
	if err := cc.Invoke(ctx, "/"+service+"/"+method, wrapperspb.Bytes(in), out, options...); err != nil {
		return nil, err
	}
	return out.Value, nil
}

// Split calls the server-streaming method and returns what came back, in order,
// also if the call failed in the middle.
func Split(ctx context.Context, cc grpc.ClientConnInterface, in []byte, options ...grpc.CallOption) ([][]byte, error) {
	s, err := open(ctx, cc, 0, options)
	if err != nil {
		return nil, err
	}
	if err := s.send(in); err != nil {
		return nil, err
	}
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	var out [][]byte
	for {
		piece, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, piece)
	}
}

// Join calls the client-streaming method with one message for each piece.
func Join(ctx context.Context, cc grpc.ClientConnInterface, pieces [][]byte, options ...grpc.CallOption) ([]byte, error) {
	s, err := open(ctx, cc, 1, options)
	if err != nil {
		return nil, err
	}
	for _, piece := range pieces {
		if err := s.send(piece); errors.Is(err, io.EOF) {
			break // the server has ended the call; Receive says how
		} else if err != nil {
			return nil, err
		}
	}
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	return s.Receive()
}

// A Conversation is an open bidirectional call. One goroutine may send while
// another receives.
type Conversation struct{ grpc.ClientStream }

// Chat opens the bidirectional call.
func Chat(ctx context.Context, cc grpc.ClientConnInterface, options ...grpc.CallOption) (*Conversation, error) {
	return open(ctx, cc, 2, options)
}

// Send sends one message. It returns io.EOF if the server has ended the call;
// Receive then tells why.
func (c *Conversation) Send(piece []byte) error { return c.send(piece) }

// Receive waits for the next message. It returns io.EOF at the end of a call
// that went well.
func (c *Conversation) Receive() ([]byte, error) {
	out := new(message)
	if err := c.RecvMsg(out); err != nil {
		return nil, err
	}
	return out.Value, nil
}

func (c *Conversation) send(piece []byte) error { return c.SendMsg(wrapperspb.Bytes(piece)) }

// open begins the streaming call that stands at index in the description.
func open(ctx context.Context, cc grpc.ClientConnInterface, index int, options []grpc.CallOption) (*Conversation, error) {
	d := &description.Streams[index]
	s, err := cc.NewStream(ctx, d, "/"+service+"/"+d.StreamName, options...)
	if err != nil {
		return nil, err
	}
	return &Conversation{ClientStream: s}, nil
}
