package accesslog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// Who cut an exchange short.
const (
	byClient = "client"
	byEdge   = "edge"
	byCore   = "core"
)

// Wrap returns a handler that logs each exchange after next has ended. It fills
// Status, BytesIn, BytesOut, FirstByte and Total of the exchange's Report, for
// steps that stand around it.
//
// It is also where a panic of a later step ends: the panic is logged with its
// stack as an error of the edge, the client gets a 500 if no response has begun,
// and the connection is cut otherwise.
func Wrap(l *Log, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// One allocation. It is not pooled: a handler that wrote after its end
		// would write into the response of somebody else.
		rec := &recorder{ResponseWriter: w, x: exchange.From(r.Context()), head: r.Method == http.MethodHead}
		if r.Body != nil && r.Body != http.NoBody {
			rec.body.ReadCloser = r.Body
			r.Body = &rec.body
		}
		defer l.finish(rec, r)
		next.ServeHTTP(rec, r)
	})
}

// finish is deferred by Wrap: it ends a panic or turns it into
// http.ErrAbortHandler.
func (l *Log) finish(rec *recorder, r *http.Request) {
	panicked := recover()
	cut := panicked != nil
	if cut && panicked != http.ErrAbortHandler {
		cut = l.answerPanic(rec, r, panicked)
	}
	if !cut && rec.status == 0 {
		rec.status = http.StatusOK // net/http sends it after the handler
	}
	report := &rec.x.Report
	report.Status = rec.status
	report.BytesIn, report.BytesOut = rec.bytesIn(), rec.bytesOut()
	report.FirstByte = rec.firstByte
	report.Total = time.Since(rec.x.Start)
	if !l.off {
		aborted, detail := rec.aborted(r.Context(), cut)
		l.writeLine(rec.x, r, aborted, detail)
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// answerPanic logs a panic, and answers it when the head was not sent. It
// reports whether the connection must be cut.
func (l *Log) answerPanic(rec *recorder, r *http.Request, panicked any) (cut bool) {
	l.errors.Error().Stringer("exchange", rec.x.ID).Str("panic", clip(fmt.Sprint(panicked), maxDetail)).
		Bytes("stack", debug.Stack()).Msg("handler panicked")
	failure := proxystatus.New(proxystatus.ProxyInternalError, l.tier, "serve", fmt.Errorf("panic: %v", panicked))
	if rec.status != 0 {
		rec.x.Fail(failure)
		return true
	}
	rec.x.Report.Error = proxystatus.None // the panic is what ended the exchange
	rec.x.Refuse(rec, r, l.name, failure)
	return false
}

// aborted tells who cut the exchange short, "" when nobody did, and what is
// known about it beyond the reports. Cut says that the handler gave up.
func (rec *recorder) aborted(ctx context.Context, cut bool) (who, detail string) {
	if err := context.Cause(ctx); err != nil && !rec.complete() {
		if errors.Is(err, context.Canceled) {
			return byClient, "client went away"
		}
		return byEdge, err.Error()
	}
	if rec.writeErr != nil && !rec.complete() {
		return byClient, "write response: " + rec.writeErr.Error()
	}
	if err := rec.body.failure(); err != nil && cut {
		return byClient, "read request body: " + err.Error()
	}
	switch {
	case !cut:
		return "", ""
	case rec.x.CoreReport.Error != proxystatus.None || rec.x.Report.ErrorHop == byCore:
		return byCore, ""
	default:
		return byEdge, ""
	}
}

// complete reports whether the response had all the bytes that its head
// announced: a client that closes then has what it wanted.
func (rec *recorder) complete() bool {
	if rec.status == 0 || rec.hijacked != nil {
		return rec.hijacked != nil
	}
	if rec.head || rec.status == http.StatusNoContent || rec.status == http.StatusNotModified {
		return true
	}
	length, err := strconv.ParseInt(rec.Header().Get("Content-Length"), 10, 64)
	return err == nil && rec.bytesOut() == length
}

// Refusal describes a request or connection that the listener refused before
// there was an exchange. Zero fields are left out of the line.
type Refusal struct {
	Time     time.Time
	Exchange exchange.ID
	Client   netip.Addr
	Peer     netip.AddrPort
	Proto    string
	Status   int // that was sent; 0: the connection was closed without an answer
	Reason   proxystatus.Type
	Detail   string // operation and cause
}

// Refused logs a refusal. Like every line, it may be dropped when there are
// more than the output takes.
func (l *Log) Refused(r Refusal) {
	if !l.off {
		l.writeRefusal(r)
	}
}
