package peers

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/ergoproxy/ergo/shared/config"
)

//go:embed config/*.tmpl
var configFiles embed.FS

var configs = template.Must(template.New("").Option("missingkey=error").ParseFS(configFiles, "config/*.tmpl"))

// settings fill the templates in config/.
type settings struct {
	Dir      string // for all files
	Root     bool   // the bench runs as root
	Listen   string // host:port of the edge tier, or of a backend
	Core     string // host:port between the tiers
	Backend  string // host:port
	Secure   string // host:port of a backend that speaks TLS; "": it does not
	CoreName string // of the core tier, as its certificate says
	ALPN     string // HAProxy: what the tiers speak

	Cores  []string // Ergo: host:port of all cores
	Admin  string   // Ergo: host:port of the admin server
	Repair string   // Ergo: of tunnel.link; "": not in the file

	// Of an ErgoConfig; "" and 0: not in the file.
	Site                    string
	TokenIssuer, TokenFile  string
	ClientIdle, ForwardIdle config.Duration
}

// write fills the template name+".tmpl" and writes it to dir/name.
func (s settings) write(name string) (path string, err error) { return s.writeAs(name, name) }

// writeAs fills the template from+".tmpl" and writes it to dir/name.
func (s settings) writeAs(from, name string) (path string, err error) {
	var b bytes.Buffer
	if err := configs.ExecuteTemplate(&b, from+".tmpl", s); err != nil {
		return "", fmt.Errorf("config %s: %w", name, err)
	}
	path = filepath.Join(s.Dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("config %s: %w", name, err)
	}
	return path, nil
}
