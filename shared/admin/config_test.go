package admin_test

import (
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/admin"
	"github.com/ergoproxy/ergo/shared/config"
)

func TestConfigValidate(t *testing.T) {
	token := config.NewSecret([]byte("0123456789abcdef"))
	ca := &admin.TLS{Cert: "a.crt", Key: "a.key", ClientCA: "ca.crt"}
	tests := []struct {
		name string
		c    admin.Config
		want string // "": valid; else key and part of the text
	}{
		{"off", admin.Config{}, ""},
		{"loopback", admin.Config{Address: "127.0.0.1:9901"}, ""},
		{"loopback, any port", admin.Config{Address: "127.0.0.1:0"}, ""},
		{"loopback v6", admin.Config{Address: "[::1]:9901"}, ""},
		{"loopback mapped", admin.Config{Address: "[::ffff:127.0.0.1]:9901"}, ""},
		{"loopback by name", admin.Config{Address: "localhost:9901"}, ""},
		{"all with token", admin.Config{Address: ":9901", Token: token}, ""},
		{"all with client CA", admin.Config{Address: "0.0.0.0:9901", TLS: ca}, ""},
		{"all", admin.Config{Address: ":9901"}, `address: ":9901" is not a loopback address`},
		{"one", admin.Config{Address: "10.0.0.1:9901"}, "address: \"10.0.0.1:9901\" is not a loopback"},
		{"name", admin.Config{Address: "localhost.example:9901"}, "address: \"localhost.example:9901\" is not a loopback"},
		{"TLS without client CA", admin.Config{Address: ":9901", TLS: &admin.TLS{Cert: "a", Key: "b"}}, "address: \":9901\" is not"},
		{"short token", admin.Config{Address: "127.0.0.1:9901", Token: config.NewSecret([]byte("0123456789abcde"))}, "token: has 15 bytes"},
		{"no port", admin.Config{Address: "127.0.0.1"}, "address: \"127.0.0.1\" is no address"},
		{"port name", admin.Config{Address: "127.0.0.1:http"}, `address: port "http" is no number`},
		{"large port", admin.Config{Address: "127.0.0.1:65536"}, `address: port "65536" is no number`},
		{"any port for all", admin.Config{Address: ":0", Token: token}, "address: port 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r config.Report
			tt.c.Validate(&r)
			var got []string
			for _, p := range r.Problems() {
				got = append(got, p.Key+": "+p.Text)
			}
			text := strings.Join(got, "\n")
			if (tt.want == "") != (text == "") || !strings.Contains(text, tt.want) {
				t.Errorf("problems %q, want %q", text, tt.want)
			}
		})
	}
}

func TestTLSValidateWantsBothFiles(t *testing.T) {
	var r config.Report
	(&admin.TLS{}).Validate(&r)
	if p := r.Problems(); len(p) != 2 || p[0].Key != "cert" || p[1].Key != "key" {
		t.Errorf("problems %v, want cert and key", p)
	}
}
