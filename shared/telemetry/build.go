package telemetry

import (
	goversion "go/version"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/rs/zerolog"
)

// version is set by the linker for released binaries:
//
//	-ldflags "-X github.com/ergoproxy/ergo/shared/telemetry.version=v1.2.3"
var version string

// Build says what a binary was made of.
type Build struct {
	Version  string `json:"version"`            // released version, else that of the module, else "devel"
	Revision string `json:"revision,omitempty"` // commit
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes
	Go       string `json:"go"`                 // toolchain
}

// BuildInfo returns the facts about this binary.
func BuildInfo() Build {
	b := Build{Version: version, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

// String returns "v1.2.3 (0123456789ab, go1.27.4)".
func (b Build) String() string {
	facts := []string{b.Go}
	if b.Revision != "" {
		short := b.Revision[:min(len(b.Revision), 12)]
		if b.Modified {
			short += "+changes"
		}
		facts = append([]string{short}, facts...)
	}
	return b.Version + " (" + strings.Join(facts, ", ") + ")"
}

// Toolchains that came before these let any client crash a server or desync a
// pooled connection: GO-2026-6617 (HTTP/2), GO-2026-6859 (HTTP/1 body limits),
// CVE-2026-56866 and CVE-2026-94439 (CONNECT).
const (
	patched126 = "go1.26.11"
	patched127 = "go1.27.4"
)

// WarnOldToolchain writes a Warn line if the binary was built with a Go release
// whose net/http is known to be unsafe in front of clients.
func WarnOldToolchain(log zerolog.Logger) { warnOldToolchain(log, runtime.Version()) }

func warnOldToolchain(log zerolog.Logger, built string) {
	if !unsafeToolchain(built) {
		return
	}
	log.Warn().Str(KeyVersion, built).
		Str(KeyReason, "clients can crash its HTTP servers (GO-2026-6617, GO-2026-6859); build with "+patched127+", or "+patched126+" of the 1.26 line").
		Msg("built with an unsafe Go toolchain")
}

// unsafeToolchain knows released versions only: one that it cannot read, such as
// a development build, is taken as what its builder wanted.
func unsafeToolchain(built string) bool {
	built, _, _ = strings.Cut(built, " ") // experiments follow the version
	built, _, _ = strings.Cut(built, "-") // and so do vendors' suffixes
	if !goversion.IsValid(built) {
		return false
	}
	if goversion.Lang(built) == "go1.27" {
		return goversion.Compare(built, patched127) < 0
	}
	return goversion.Compare(built, patched126) < 0
}
