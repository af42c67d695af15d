package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// tokenVariable is where the bearer token comes from when no file is named.
const tokenVariable = "ERGO_ADMIN_TOKEN"

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// adminClient asks admin servers. Its flags are the same in every subcommand
// that does.
type adminClient struct {
	tokenFile, ca, cert, key string

	token string
	http  *http.Client
}

func (c *adminClient) flags(flags *flag.FlagSet) {
	flags.StringVar(&c.tokenFile, "token-file", "", "file with the bearer token of the admin server (default: the variable "+tokenVariable+")")
	flags.StringVar(&c.ca, "ca", "", "PEM file of the CA of the admin server's certificate (default: those of the system)")
	flags.StringVar(&c.cert, "cert", "", "PEM file of the certificate to show to the admin server")
	flags.StringVar(&c.key, "key", "", "PEM file of its private key")
}

// open reads the files that the flags name.
func (c *adminClient) open() error {
	c.token = strings.TrimSpace(os.Getenv(tokenVariable))
	if c.tokenFile != "" {
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return err
		}
		c.token = strings.TrimSpace(string(b))
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13}
	if c.ca != "" {
		b, err := os.ReadFile(c.ca)
		if err != nil {
			return err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(b) {
			return fmt.Errorf("%s holds no certificate", c.ca)
		}
	}
	if c.cert != "" || c.key != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	// No proxy from the environment: an admin address is ours, and mostly on
	// loopback. No redirects either: they would take the token elsewhere.
	c.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// adminURL makes a URL of an address as a config has it, 127.0.0.1:9901, or of
// a URL. The path stands when the URL has none.
func (c *adminClient) adminURL(address, path string) (string, error) {
	if !strings.Contains(address, "://") {
		scheme := "http"
		if c.ca != "" || c.cert != "" {
			scheme = "https"
		}
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no address, want host:port or an http or https URL", address)
	}
	if u.Path == "" {
		u.Path = path
	}
	return u.String(), nil
}

// get returns the status and body of one answer.
func (c *adminClient) get(ctx context.Context, url string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read answer of %s: %w", url, err)
	}
	if len(body) > maxAnswer {
		return 0, nil, fmt.Errorf("answer of %s is larger than %d bytes", url, maxAnswer)
	}
	return res.StatusCode, body, nil
}

// refusal says in one line why an answer is not the one that was hoped for.
func refusal(url string, status int, body []byte) error {
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	text := fmt.Sprintf("%s answers %d: %s", url, status, printable(string(line[:min(len(line), 200)])))
	if status == http.StatusUnauthorized {
		text += "; give it with --token-file or " + tokenVariable
	}
	return errors.New(text)
}

// printable drops what could steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
