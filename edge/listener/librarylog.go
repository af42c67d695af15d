package listener

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/rs/zerolog"
)

// A logWriter takes what net/http logs: faults of clients, and panics of
// handlers, which a person must see.
type logWriter struct{ log zerolog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	level := zerolog.DebugLevel
	if bytes.Contains(p, []byte("panic serving")) {
		level = zerolog.ErrorLevel
	}
	w.log.WithLevel(level).Bytes("text", bytes.TrimSpace(p)).Msg("net/http")
	return len(p), nil
}

// A logHandler takes what http3 logs at Warn and above: panics of handlers. Below
// it logs each request, which is not even formatted.
type logHandler struct {
	log    zerolog.Logger
	prefix string
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	e := h.log.Error()
	r.Attrs(func(a slog.Attr) bool {
		if text, ok := a.Value.Any().([]byte); ok {
			e.Bytes(h.prefix+a.Key, text)
		} else {
			e.Str(h.prefix+a.Key, a.Value.String())
		}
		return true
	})
	e.Str("text", r.Message).Msg("http3")
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := h.log.With()
	for _, a := range attrs {
		with = with.Str(h.prefix+a.Key, a.Value.String())
	}
	h.log = with.Logger()
	return h
}

func (h logHandler) WithGroup(name string) slog.Handler {
	h.prefix += name + "."
	return h
}
