package peers

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 1 0 999 1000000 256 18446744073709551615 1 1 0"
	s, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if s.parent != 7 || s.usage.cpu != 2*time.Second || s.usage.rss != 256*int64(os.Getpagesize()) {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 7", "42 (a) S x" + line[len("42 (a) b (c) S 7"):]} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDescends(t *testing.T) {
	all := map[int]stat{1: {}, 2: {parent: 1}, 3: {parent: 2}, 4: {parent: 1}, 8: {parent: 9}, 9: {parent: 8}}
	for _, row := range []struct {
		id, root int
		want     bool
	}{{2, 2, true}, {3, 2, true}, {4, 2, false}, {1, 2, false}, {8, 2, false}} {
		if got := descends(all, row.id, row.root); got != row.want {
			t.Errorf("descends(%d, %d) = %t", row.id, row.root, got)
		}
	}
}

func TestTreeUsageOfAGoneProcess(t *testing.T) {
	if _, err := treeUsage(1 << 30); err == nil {
		t.Error("no error")
	}
	if u, err := treeUsage(os.Getpid()); u.rss == 0 || err != nil {
		t.Errorf("own: %+v, %v", u, err)
	}
}
