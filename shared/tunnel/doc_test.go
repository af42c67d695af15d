package tunnel

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func TestDocumentPrintsTheTables(t *testing.T) {
	doc, err := os.ReadFile("../../docs/tunnel-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range fieldNames {
		if cell := fmt.Sprintf("| %d %s |", i+1, name); !strings.Contains(string(doc), cell) {
			t.Errorf("static table: no %s", cell)
		}
	}
	for code := proxystatus.DNSTimeout; code.Valid(); code++ {
		if cell := fmt.Sprintf("| %d %s |", code, code); !strings.Contains(string(doc), cell) {
			t.Errorf("codes: no %s", cell)
		}
	}
}
