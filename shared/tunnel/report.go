package tunnel

import (
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

// An End is the payload of an END frame. A core sends its exchange.Report, so
// that the edge's access log tells the whole story.
type End struct {
	Report exchange.Report

	// Last says that the sender reads nothing more from this lane, because it did
	// not read all of this exchange: the next one needs another lane. Without it
	// the peer could send a HEAD into a lane that is being closed.
	Last bool
}

// On the wire an End is a list of values, each a number and a string (numbers
// below 16) or an integer; a receiver skips numbers it does not know.
const (
	reportName = iota + 1
	reportRoute
	reportBackend
	reportDetail
)

const (
	reportAttempts = iota + 16
	reportError
	reportQueue
	reportConnect
	reportFirstByte
	reportTotal
	reportBytesIn
	reportBytesOut
	reportReused
	reportStatus
	endLast
)

// AppendEnd appends the payload of an END frame to b: nothing for the zero End.
// Times are sent in whole microseconds, strings cut to MaxName bytes.
func AppendEnd(b []byte, e *End) []byte {
	r := &e.Report
	text := func(id byte, s string) {
		if s != "" {
			b = appendString(append(b, id), s[:min(len(s), MaxName)])
		}
	}
	number := func(id byte, n int64) {
		if n > 0 {
			b = quicvarint.Append(append(b, id), uint64(n))
		}
	}
	text(reportName, r.Name)
	text(reportRoute, r.Route)
	text(reportBackend, r.Backend)
	text(reportDetail, r.Detail)
	number(reportAttempts, int64(r.Attempts))
	number(reportError, int64(r.Error))
	number(reportQueue, r.Queue.Microseconds())
	number(reportConnect, r.Connect.Microseconds())
	number(reportFirstByte, r.FirstByte.Microseconds())
	number(reportTotal, r.Total.Microseconds())
	number(reportBytesIn, r.BytesIn)
	number(reportBytesOut, r.BytesOut)
	number(reportStatus, int64(r.Status))
	if r.ConnReused {
		number(reportReused, 1)
	}
	if e.Last {
		number(endLast, 1)
	}
	return b
}

// ParseEnd reads the payload of an END frame. The strings share its memory.
func ParseEnd(payload string) (End, error) {
	var e End
	r := &e.Report
	d := decoder{rest: payload}
	for d.err == nil && d.rest != "" {
		switch id := d.byte(); id {
		case reportName:
			r.Name = d.string(MaxName)
		case reportRoute:
			r.Route = d.string(MaxName)
		case reportBackend:
			r.Backend = d.string(MaxName)
		case reportDetail:
			r.Detail = d.string(MaxName)
		default:
			if id < reportAttempts {
				d.string(MaxEnd)
				continue
			}
			e.setNumber(id, d.uint())
		}
	}
	return e, d.done()
}

func (e *End) setNumber(id byte, n uint64) {
	r := &e.Report
	us := time.Duration(min(n, 1<<53)) * time.Microsecond
	switch id {
	case reportAttempts:
		r.Attempts = int(min(n, 1<<20))
	case reportError:
		if t := proxystatus.Type(min(n, 255)); t.Valid() {
			r.Error, r.ErrorHop = t, "core"
		}
	case reportQueue:
		r.Queue = us
	case reportConnect:
		r.Connect = us
	case reportFirstByte:
		r.FirstByte = us
	case reportTotal:
		r.Total = us
	case reportBytesIn:
		r.BytesIn = int64(n)
	case reportBytesOut:
		r.BytesOut = int64(n)
	case reportStatus:
		r.Status = int(min(n, 999))
	case reportReused:
		r.ConnReused = n != 0
	case endLast:
		e.Last = n != 0
	}
}
