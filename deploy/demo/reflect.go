package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io"
	"net/http"
	"slices"
	"time"
)

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}
td{font-family:ui-monospace,monospace;overflow-wrap:anywhere}</style></head><body>
<h1>{{.Name}} answered</h1>
<p>{{.Method}} {{.Path}} over {{.Proto}}, asked by {{.Remote}}{{with .RequestID}}, request id <code>{{.}}</code>{{end}}.</p>
<table><tr><th>Header field that the backend saw</th><th>Value</th></tr>
{{range .Fields}}<tr><td>{{.Name}}</td><td>{{.Value}}</td></tr>
{{end}}</table></body></html>
`))

type field struct{ Name, Value string }

// page answers with what the backend saw, for people.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	fields := []field{{"Host", r.Host}}
	for _, name := range sortedNames(r.Header) {
		for _, value := range r.Header[name] {
			fields = append(fields, field{name, value})
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	// The only error is that the client has gone, and there is nobody to tell.
	_ = pageTemplate.Execute(w, struct {
		Name, Method, Path, Proto, Remote, RequestID string
		Fields                                       []field
	}{h.name, r.Method, r.URL.RequestURI(), r.Proto, r.RemoteAddr, r.Header.Get("X-Request-Id"), fields})
}

func sortedNames(header http.Header) []string {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A Reflection is the JSON that /headers answers with.
type Reflection struct {
	Backend          string      `json:"backend"`
	Method           string      `json:"method"`
	Host             string      `json:"host"`
	Path             string      `json:"path"` // as sent, with the query
	Proto            string      `json:"proto"`
	Remote           string      `json:"remote"`
	TLS              bool        `json:"tls"`
	Header           http.Header `json:"header"`
	Trailer          http.Header `json:"trailer,omitempty"`
	ContentLength    int64       `json:"content_length"` // as declared; -1: not declared
	TransferEncoding []string    `json:"transfer_encoding,omitempty"`
	BodyLength       int64       `json:"body_length"`
	BodySHA256       string      `json:"body_sha256"`
}

func (h *Handler) headers(w http.ResponseWriter, r *http.Request) {
	got := Reflection{
		Backend: h.name, Method: r.Method, Host: r.Host, Path: r.RequestURI, Proto: r.Proto,
		Remote: r.RemoteAddr, TLS: r.TLS != nil, Header: r.Header,
		ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding,
	}
	var err error
	if got.BodyLength, got.BodySHA256, err = digest(r.Body); err != nil {
		panic(http.ErrAbortHandler) // the client has gone in mid-body
	}
	got.Trailer = r.Trailer // complete now that the body was read
	writeJSON(w, got)
}

// An Upload is the JSON that /upload answers with.
type Upload struct {
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

func upload(w http.ResponseWriter, r *http.Request) {
	p := query(r)
	refuse := p.number("refuse", 0, 400, 599)
	if p.refuse(w) {
		return
	}
	if refuse != 0 {
		// With the body unread net/http does not send the 100 that a client may
		// wait for (RFC 9110, 10.1.1).
		http.Error(w, "refused before the body was read", int(refuse))
		return
	}
	length, sum, err := digest(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	writeJSON(w, Upload{Length: length, SHA256: sum})
}

// digest reads r to its end.
func digest(r io.Reader) (int64, string, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	return n, hex.EncodeToString(hash.Sum(nil)), err
}

// status answers with the status asked for.
func status(w http.ResponseWriter, r *http.Request) {
	code, err := number("status", r.PathValue("code"), 200, 599)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(int(code))
	if code != http.StatusNoContent && code != http.StatusNotModified {
		_, _ = io.WriteString(w, http.StatusText(int(code))+"\n")
	}
}

func (h *Handler) delay(w http.ResponseWriter, r *http.Request) {
	d, err := duration("delay", r.PathValue("duration"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if wait(r, d) {
		h.page(w, r)
	}
}

func (h *Handler) earlyHints(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Add("Link", "</style.css>; rel=preload; as=style")
	header.Add("Link", "</script.js>; rel=preload; as=script")
	w.WriteHeader(http.StatusEarlyHints)
	header.Del("Link")
	h.page(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// The only error is that the client has gone, and there is nobody to tell.
	_ = encoder.Encode(v)
}

// instant is the form in which answers give a time.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
