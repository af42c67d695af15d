package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A transport is one HTTP/2 or HTTP/3 connection, dialled when needed.
type transport struct {
	http.RoundTripper
	close func()
}

func newTransport(t *Target) transport {
	if t.Protocol == H3 {
		h3 := &http3.Transport{
			TLSClientConfig:    withServerName(t),
			QUICConfig:         &quic.Config{},
			DisableCompression: true,
			Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
				conn, err := quic.DialAddrEarly(ctx, t.Address, tlsConfig, config)
				if err != nil {
					return nil, errors.Join(errDial, err)
				}
				return conn, nil
			},
		}
		return transport{h3, func() { h3.Close() }}
	}
	var protocols http.Protocols
	protocols.SetHTTP2(t.Protocol == H2)
	protocols.SetUnencryptedHTTP2(t.Protocol == H2C)
	h2 := &http.Transport{
		Protocols:          &protocols,
		MaxConnsPerHost:    1,
		DisableCompression: true,
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) },
	}
	if t.Protocol == H2 {
		h2.TLSClientConfig = withServerName(t)
	}
	return transport{h2, h2.CloseIdleConnections}
}

// A stream is one of the concurrent requests on a transport.
type stream struct {
	ctx       context.Context
	target    *Target
	transport transport
	request   *http.Request
	buffer    []byte
}

func newStream(ctx context.Context, t *Target, over transport) *stream {
	return &stream{ctx: ctx, target: t, transport: over, buffer: make([]byte, readBuffer), request: t.request()}
}

// request returns what is cloned for each exchange.
func (t *Target) request() *http.Request {
	r := &http.Request{Method: t.Method, URL: t.url, Host: t.Authority, Header: t.Header.Clone(), Proto: "HTTP/2.0", ProtoMajor: 2}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if len(t.Body) > 0 {
		r.ContentLength = int64(len(t.Body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(t.Body)), nil }
	}
	return r
}

func (s *stream) do() outcome {
	ctx, cancel := context.WithTimeout(s.ctx, s.target.Timeout)
	defer cancel()
	request := s.request.WithContext(ctx)
	if request.GetBody != nil {
		request.Body, _ = request.GetBody() // never fails, see Target.request
	}
	response, err := s.transport.RoundTrip(request)
	if err != nil {
		return outcome{failure: classify(err)}
	}
	defer response.Body.Close()
	length, err := drain(response.Body, s.buffer)
	if err != nil {
		return outcome{failure: classify(err)}
	}
	return outcome{status: response.StatusCode, length: length}
}
