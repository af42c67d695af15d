package listener

import (
	"io"
	"net/http"
	"reflect"
	"strings"
)

// libraryHeaderBytes is the limit given to net/http and http3, which refuse
// without a line in the access log: so large that this package's own limit is
// met first, unless a client overdoes it.
func libraryHeaderBytes(l *Limits) int { return 2 * int(l.HeaderBytes) }

// serve is what all listeners hand their requests to. It refuses what the
// HTTP/1 scanner has no part in and passes the rest on.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	l := linkOf(r)
	if l.altSvc != nil {
		w.Header()["Alt-Svc"] = l.altSvc
	}
	r.TLS = l.tls
	if r.ProtoMajor == 1 {
		s.serveH1(l, w, r)
		return
	}
	dw, ok := w.(deadliner)
	if !ok {
		panic("listener: the ResponseWriter of " + r.Proto + " has no deadlines")
	}
	no := s.check(l, r)
	if r.ProtoMajor == 3 {
		defer l.handled.Add(1)
		if no == nil {
			no = settleBody(r)
		}
		dw.SetReadDeadline(noDeadline) // the time for the head is over
	}
	if no != nil {
		s.refused(l, no)
		no.answer(w, r, s.deps.Name)
		return
	}
	if r.ProtoMajor == 2 && waitsForContinue(r.Body) {
		r.Header["Expect"] = []string{"100-continue"}
	}
	st := newStream(dw, r, l.limits)
	s.handler.ServeHTTP(st, r)
	st.finish()
}

func (s *Server) serveH1(l *link, w http.ResponseWriter, r *http.Request) {
	l.h1.handling.Store(true)
	if r.Method == http.MethodConnect {
		// What follows CONNECT was not scanned: if the handler does not take the
		// connection over, no second request may be read from it.
		w.Header().Set("Connection", "close")
	}
	if up := r.Header["Upgrade"]; len(up) > 0 {
		dropH2CUpgrade(r.Header, up)
	}
	keepTrailer(r)
	s.handler.ServeHTTP(w, r)
}

// check applies the limits that the libraries of HTTP/2 and HTTP/3 do not have.
func (s *Server) check(l *link, r *http.Request) *refusal {
	switch {
	case r.Method == http.MethodConnect && !s.deps.AllowConnect && !extendedConnect(r):
		return badConnect
	case len(r.RequestURI) > int(l.limits.URLBytes):
		return longTarget
	case l.limits.BodyBytes > 0 && r.ContentLength > int64(l.limits.BodyBytes):
		return longBody
	}
	fields, size := 0, len(r.Method)+len(r.Host)+len(r.RequestURI)
	for name, values := range r.Header {
		fields += len(values)
		size += len(values) * len(name)
		for _, v := range values {
			size += len(v)
		}
	}
	switch {
	case fields > l.limits.HeaderCount:
		return manyFields
	case size > int(l.limits.HeaderBytes):
		return longHead
	}
	return nil
}

// extendedConnect tells the CONNECT of RFC 8441 and RFC 9220, which is an
// upgrade, from that of a forward proxy.
func extendedConnect(r *http.Request) bool {
	if r.ProtoMajor == 2 {
		return len(r.Header[":protocol"]) > 0
	}
	return r.Proto != "HTTP/3.0"
}

// waitsForContinue reports whether the client of an HTTP/2 request waits for a
// 100 (Continue), which net/http sends at the first read of the body. It removes
// Expect from the header and keeps what it knows in a private field, but the
// backend must see Expect to be able to refuse a body before it is sent. Should
// the field be gone one day, the body is asked for at once.
func waitsForContinue(body io.ReadCloser) bool {
	v := reflect.ValueOf(body)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	field := v.Elem().FieldByName("needsContinue")
	return field.Kind() == reflect.Bool && field.Bool()
}

// dropH2CUpgrade removes an offer to go on in HTTP/2 (RFC 7540, section 3.2;
// RFC 9113 has taken it back). Passed on, it could turn a connection to a
// backend into one whose requests nobody looks at.
func dropH2CUpgrade(h http.Header, upgrade []string) {
	for _, v := range upgrade {
		for _, protocol := range strings.Split(v, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "h2c") {
				h.Del("Upgrade")
				h.Del("Http2-Settings")
				return
			}
		}
	}
}

func (s *Server) refused(l *link, no *refusal) {
	if s.deps.Refused != nil {
		s.deps.Refused(l.client, no.status, no.reason)
	}
}
