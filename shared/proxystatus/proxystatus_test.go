package proxystatus_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// allTypes returns the closed list, None first.
func allTypes() []proxystatus.Type {
	var all []proxystatus.Type
	for t := proxystatus.None; t.Valid(); t++ {
		all = append(all, t)
	}
	return all
}

// The numbers travel in the tunnel between versions and the names are in
// dashboards: a line of this file may be added, never changed.
func TestTypesKeepNumberNameAndStatus(t *testing.T) {
	var table strings.Builder
	for _, typ := range allTypes() {
		fmt.Fprintf(&table, "%d %s %d\n", typ, typ, typ.Status())
	}
	const file = "testdata/types.golden"
	if *update {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("the list changed; have\n%s\nwant\n%s", table.String(), want)
	}
}

func TestTypesAreComplete(t *testing.T) {
	names, sentences := map[string]proxystatus.Type{}, map[string]proxystatus.Type{}
	for _, typ := range allTypes()[1:] {
		if typ.String() == "" || http.StatusText(typ.Status()) == "" || typ.Status() < 400 {
			t.Errorf("type %d: name %q, status %d", typ, typ, typ.Status())
		}
		if other, taken := names[typ.String()]; taken {
			t.Errorf("types %d and %d are both called %s", typ, other, typ)
		}
		names[typ.String()] = typ
		sentence := proxystatus.New(typ, "edge", "x", nil).Sentence()
		if other, taken := sentences[sentence]; taken || sentence == "" {
			t.Errorf("types %d and %d both say %q", typ, other, sentence)
		}
		sentences[sentence] = typ
	}
	if len(names) < 32 {
		t.Errorf("%d types, want the 32 of RFC 9209", len(names))
	}
}

func TestUnknownTypeIsABadGateway(t *testing.T) {
	typ := proxystatus.Type(200)
	if typ.Valid() || typ.String() != "type_200" || typ.Status() != 502 {
		t.Errorf("Valid %v, String %q, Status %d", typ.Valid(), typ, typ.Status())
	}
	if s := proxystatus.New(typ, "core", "x", nil).Sentence(); s == "" {
		t.Error("an unknown type has no sentence")
	}
}

func TestErrorPrintsAndUnwraps(t *testing.T) {
	e := proxystatus.New(proxystatus.ConnectionRefused, "core", "dial 10.0.0.7:8443", io.ErrUnexpectedEOF)
	if got, want := e.Error(), "core: dial 10.0.0.7:8443: connection_refused: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	wrapped := fmt.Errorf("round trip: %w", e)
	if proxystatus.From("edge", wrapped) != e {
		t.Error("From does not find the Error in the chain")
	}
	if !errors.Is(wrapped, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if other := proxystatus.From("edge", io.EOF); other.Type != proxystatus.ProxyInternalError || other.HTTPStatus() != 500 {
		t.Errorf("From(untranslated) = %v with status %d", other, other.HTTPStatus())
	}
}
