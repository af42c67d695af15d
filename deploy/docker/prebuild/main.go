// Command prebuild puts together the file tree of the container image:
//
//	bin/ergo                              the binary, static
//	bin/ergo-edge, bin/ergo-core, ...     links to it
//	etc/ssl/certs/ca-certificates.crt     CA roots of the build machine
//
// The Dockerfile runs it inside a Go image. Where no image can be pulled it is
// run by hand, and the image is made of what it leaves in deploy/docker/out:
//
//	go run ./deploy/docker/prebuild
//	ERGO_BUILD=prebuilt docker-compose up --build
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// names are what the binary is called by, each the name of a subcommand after
// "ergo-".
var names = []string{"ergo-edge", "ergo-core", "ergo-demo-backend"}

// caRoots are where systems keep their CA roots, as crypto/x509 looks for them.
var caRoots = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
	"/etc/ssl/ca-bundle.pem",             // SUSE
	"/etc/ssl/cert.pem",                  // macOS, Alpine
}

func main() {
	out := flag.String("out", "deploy/docker/out", "directory to make; bin and etc in it are deleted first")
	version := flag.String("version", "", "version that the binary prints; default: what Go finds out")
	flag.Parse()
	if err := prebuild(*out, *version); err != nil {
		fmt.Fprintf(os.Stderr, "prebuild: %v\n", err)
		os.Exit(1)
	}
}

func prebuild(out, version string) error {
	bin, certs := filepath.Join(out, "bin"), filepath.Join(out, "etc", "ssl", "certs")
	for _, old := range []string{bin, filepath.Join(out, "etc")} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	for _, dir := range []string{bin, certs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := build(filepath.Join(bin, "ergo"), version); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink("ergo", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return copyRoots(filepath.Join(certs, "ca-certificates.crt"))
}

func build(path, version string) error {
	ldflags := "-s -w"
	if version != "" {
		ldflags += " -X github.com/ergoproxy/ergo/shared/telemetry.version=" + version
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-o", path, "github.com/ergoproxy/ergo/deploy/cmd/ergo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

func copyRoots(to string) error {
	for _, path := range caRoots {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	}
	return fmt.Errorf("no CA roots in any of %q", caRoots)
}
