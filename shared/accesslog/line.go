package accesslog

import (
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"net/netip"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
	"github.com/rs/zerolog"
)

// Bounds of what a client can make a line hold, in bytes.
const (
	maxMethod  = 32
	maxHost    = 255
	maxPath    = 2048
	maxQuery   = 1024
	maxField   = 256 // User-Agent and Referer
	maxSubject = 256
	maxDetail  = 512
)

const timeFormat = "2006-01-02T15:04:05.000Z"

// clip returns at most limit bytes of s. Half a character at the end is written
// as U+FFFD by the encoder.
func clip(s string, limit int) string { return s[:min(len(s), limit)] }

func (l *Log) writeLine(x *exchange.Exchange, r *http.Request, aborted, detail string) {
	if l.config.Only == OnlyFailures && aborted == "" && !failed(x) {
		return
	}
	e := l.lines.Log()
	l.writeRequest(e, x, r)
	writeResponse(e, x, r)
	l.writeCore(e, x)
	reason, why := x.Report.Error, x.Report.Detail
	if reason == proxystatus.None {
		reason, why = x.CoreReport.Error, x.CoreReport.Detail
	}
	if detail == "" {
		detail = why
	}
	writeFailure(e, reason, aborted, detail)
	e.Send()
}

func (l *Log) writeRequest(e *zerolog.Event, x *exchange.Exchange, r *http.Request) {
	var buf [64]byte
	c := &x.Client
	e.Bytes(KeyTime, x.Start.UTC().AppendFormat(buf[:0], timeFormat)).
		Str(KeyLevel, level(x)).
		Bytes(KeyExchange, x.ID.Append(buf[:0]))
	if x.Attempt > 0 {
		e.Int(KeyAttempt, x.Attempt)
	}
	writeAddrs(e, c.Addr.Addr(), c.Peer)
	e.Str(KeyMethod, clip(r.Method, maxMethod)).
		Str(KeyScheme, c.Scheme).
		Str(KeyHost, clip(r.Host, maxHost)).
		Str(KeyPath, clip(r.URL.EscapedPath(), maxPath))
	if l.config.Query == queryRedacted && r.URL.RawQuery != "" {
		e.Str(KeyQuery, clip(l.redacted(r.URL.RawQuery), maxQuery))
	}
	e.Str(KeyProto, c.Proto)
	if c.TLSVersion != 0 {
		e.Str(KeyTLS, tls.VersionName(c.TLSVersion))
	}
	if c.EarlyData {
		e.Bool(KeyEarlyData, true)
	}
}

// level is "warn" when a tier failed; a refusal is what the config asks for.
func level(x *exchange.Exchange) string {
	if failed(x) && (x.Report.Status == 0 || x.Report.Status < 400 || x.Report.Status >= 500) {
		return "warn"
	}
	return "info"
}

// failed reports whether a tier failed or refused the exchange.
func failed(x *exchange.Exchange) bool {
	return x.Report.Error != proxystatus.None || x.CoreReport.Error != proxystatus.None
}

func writeAddrs(e *zerolog.Event, client netip.Addr, peer netip.AddrPort) {
	var buf [64]byte
	client = client.Unmap()
	if client.IsValid() {
		e.Bytes(KeyClient, client.AppendTo(buf[:0]))
	}
	if peer.IsValid() && peer.Addr().Unmap() != client {
		e.Bytes(KeyPeer, netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()).AppendTo(buf[:0]))
	}
}

func writeResponse(e *zerolog.Event, x *exchange.Exchange, r *http.Request) {
	e.Int(KeyStatus, x.Report.Status).
		Int64(KeyBytesIn, x.Report.BytesIn).
		Int64(KeyBytesOut, x.Report.BytesOut).
		Float64(KeyDuration, milliseconds(x.Report.Total))
	if x.Report.FirstByte > 0 {
		e.Float64(KeyFirstByte, milliseconds(x.Report.FirstByte))
	}
	if x.Principal.Subject != "" {
		e.Str(KeyPrincipal, clip(x.Principal.Subject, maxSubject))
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		e.Str(KeyUserAgent, clip(agent[0], maxField))
	}
	if referer := r.Header["Referer"]; len(referer) > 0 {
		e.Str(KeyReferer, clip(bareURL(referer[0]), maxField))
	}
	if !x.Trace.IsZero() {
		var buf [32]byte
		e.Bytes(KeyTrace, hex.AppendEncode(buf[:0], x.Trace.ID[:]))
	}
}

// milliseconds has three decimals.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (l *Log) writeCore(e *zerolog.Event, x *exchange.Exchange) {
	str := func(key, value string) {
		if value != "" {
			e.Str(key, value)
		}
	}
	c, core := &x.CoreReport, x.Core
	if l.tier == "core" {
		c, core = &x.Report, l.name
	}
	str(KeyCore, core)
	str(KeyCarrier, x.Carrier)
	str(KeyRoute, c.Route)
	str(KeyBackend, c.Backend)
	if c.Total > 0 && l.tier != "core" {
		e.Float64(KeyCoreDuration, milliseconds(c.Total))
	}
	if c.Attempts > 1 {
		e.Int(KeyBackendAttempts, c.Attempts)
	}
}

func writeFailure(e *zerolog.Event, reason proxystatus.Type, aborted, detail string) {
	if reason != proxystatus.None {
		e.Str(KeyProxyStatus, reason.String())
	}
	if aborted != "" {
		e.Str(KeyAborted, aborted)
	}
	if detail != "" {
		e.Str(KeyDetail, clip(detail, maxDetail))
	}
}

func (l *Log) writeRefusal(r Refusal) {
	var buf [64]byte
	e := l.lines.Log()
	e.Bytes(KeyTime, r.Time.UTC().AppendFormat(buf[:0], timeFormat)).Str(KeyLevel, "info")
	if !r.Exchange.IsZero() {
		e.Bytes(KeyExchange, r.Exchange.Append(buf[:0]))
	}
	writeAddrs(e, r.Client, r.Peer)
	if r.Proto != "" {
		e.Str(KeyProto, r.Proto)
	}
	e.Int(KeyStatus, r.Status)
	writeFailure(e, r.Reason, "", r.Detail)
	e.Send()
}
