package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Config says how a Server listens.
type Config struct {
	Name    string        // what the backend calls itself; empty: "demo"
	Address string        // host:port to listen on; empty: a free port of 127.0.0.1
	TLS     *tls.Config   // nil: in clear. ALPN is set by the Server
	Grace   time.Duration // how long Run waits for requests in flight when it ends; 0: they are cut
}

// A Server serves a Handler by HTTP/1.1 and HTTP/2 on one port; in clear,
// HTTP/2 is taken with prior knowledge (h2c).
type Server struct {
	Handler  *Handler
	listener net.Listener
	tls      *tls.Config
	grace    time.Duration
}

// Listen opens the port, so that clients may connect from now on; Run answers
// them. A Server that is never run must be closed.
func Listen(c Config) (*Server, error) {
	if c.Name == "" {
		c.Name = "demo"
	}
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("demo backend %s: %w", c.Name, err)
	}
	return &Server{Handler: NewHandler(c.Name), listener: listener, tls: c.TLS.Clone(), grace: c.Grace}, nil
}

// Addr returns the host:port that the Server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the Server's address as a URL without a path.
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Close frees the port. It is needed only if Run was never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run answers requests until ctx ends. Then it stops listening, lets requests
// in flight finish for the grace time and cuts what is left. WebSockets are cut
// at once. It returns nil after such an end. It must be called once.
func (s *Server) Run(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.tls != nil)
	protocols.SetUnencryptedHTTP2(s.tls == nil)
	server := &http.Server{
		Handler:           s.Handler,
		TLSConfig:         s.tls,
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute, // longer than any proxy keeps a connection idle, so that the proxy closes first
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          log.New(io.Discard, "", 0), // clients that break off are its daily work
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	ended := make(chan error, 1)
	go func() {
		if s.tls != nil {
			ended <- server.ServeTLS(s.listener, "", "")
		} else {
			ended <- server.Serve(s.listener)
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	err := s.shutdown(server, cut)
	<-ended
	return err
}

func (s *Server) shutdown(server *http.Server, cut context.CancelFunc) error {
	if s.grace > 0 {
		grace, done := context.WithTimeout(context.Background(), s.grace)
		defer done()
		if server.Shutdown(grace) == nil {
			return nil
		}
	}
	cut()
	if err := server.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.Addr(), err)
	}
	return nil
}
