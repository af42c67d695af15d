package stack

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"text/template"
)

// tlsOffset is how far a TLS port stands above the clear one of its edge.
const tlsOffset = 363

// tierPlan is one edge or core and where it listens.
type tierPlan struct {
	Name   string
	Clear  string // edges
	TLS    string // edges
	Tunnel string // cores
	Admin  string
}

// plan is everything that the configurations are made of.
type plan struct {
	Options
	EdgePlans, CorePlans []tierPlan
	BackendURLs          []string
	Key                  string // that verifies tokens, as edge.yaml writes it; "": none is asked
}

// layOut gives every listener its address. A port of 0 stays 0: the system picks.
func layOut(o Options) (*plan, error) {
	p := &plan{Options: o, BackendURLs: o.Backends}
	for i := range o.Edges {
		clear, err := shift(o.Listen, i)
		if err != nil {
			return nil, err
		}
		tls, err := shift(clear, tlsOffset)
		if err != nil {
			return nil, err
		}
		admin, err := shift(o.Admin, i)
		if err != nil {
			return nil, err
		}
		p.EdgePlans = append(p.EdgePlans, tierPlan{Name: fmt.Sprintf("edge-%d", i+1), Clear: clear, TLS: tls, Admin: admin})
	}
	for i := range o.Cores {
		tunnel, err := shift(o.Tunnel, i)
		if err != nil {
			return nil, err
		}
		admin, err := shift(o.Admin, o.Edges+i)
		if err != nil {
			return nil, err
		}
		p.CorePlans = append(p.CorePlans, tierPlan{Name: fmt.Sprintf("core-%d", i+1), Tunnel: tunnel, Admin: admin})
	}
	return p, nil
}

// shift returns address with its port n higher.
func shift(address string, n int) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address %q: want host:port", address)
	}
	a, err := netip.ParseAddrPort("0.0.0.0:" + port)
	if err != nil {
		return "", fmt.Errorf("address %q: %q is no port, want 0 to 65535", address, port)
	}
	if a.Port() == 0 {
		return address, nil
	}
	if int(a.Port())+n > 65535 {
		return "", fmt.Errorf("address %q: the port %d above it would be past 65535, choose a lower one", address, n)
	}
	return net.JoinHostPort(host, fmt.Sprint(int(a.Port())+n)), nil
}

var edgeTemplate = template.Must(template.New("edge").Parse(`# {{.Tier.Name}}, written by ergo up.
name: {{.Tier.Name}}
listen:
  - {address: "{{.Tier.Clear}}"}
  - {address: "{{.Tier.TLS}}", protocols: [h1, h2, h3], tls: {certificates: [{cert: site.crt, key: site.key}]}}
admin: {address: "{{.Tier.Admin}}"{{if .Plan.Pprof}}, pprof: true{{end}}}
log: {level: {{.Plan.LogLevel}}}
access_log: {output: {{.Plan.AccessLog}}}
{{- if .Plan.Key}}
auth:
  jwt:
    issuers:
      - {issuer: "{{.Plan.Issuer}}", audiences: ["{{.Plan.Audience}}"], algorithms: [{{.Plan.Algorithm}}], keys: [{{.Plan.Key}}]}
  rules:
    - {path: "{{.Plan.TokenPath}}", require: jwt}
  default: none
{{- end}}
tunnel:
  ca: ca.crt
  cert: {{.Tier.Name}}.crt
  key: {{.Tier.Name}}.key
  carrier: {{.Plan.Carrier}}
  cores:
{{- range .Plan.CorePlans}}
    - {address: "{{.Tunnel}}", name: {{.Name}}}
{{- end}}
`))

var coreTemplate = template.Must(template.New("core").Parse(`# {{.Tier.Name}}, written by ergo up.
name: {{.Tier.Name}}
tunnel: {listen: "{{.Tier.Tunnel}}", ca: ca.crt, cert: {{.Tier.Name}}.crt, key: {{.Tier.Name}}.key}
admin: {address: "{{.Tier.Admin}}"{{if .Plan.Pprof}}, pprof: true{{end}}}
log: {level: {{.Plan.LogLevel}}}
backends:
  web:
    endpoints:
{{- range .Plan.BackendURLs}}
      - "{{.}}"
{{- end}}
    balance: least_requests
routes:
  - {match: {path: "/"}, backend: web}
`))

// render returns the configuration of one tier.
func (p *plan) render(t *template.Template, tier tierPlan) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, struct {
		Plan *plan
		Tier tierPlan
	}{p, tier})
	return b.String(), err
}
