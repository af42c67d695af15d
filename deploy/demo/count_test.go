package demo_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ergoproxy/ergo/deploy/demo"
)

func TestCountReportsDoubledIDs(t *testing.T) {
	eachProtocol(t, func(t *testing.T, c *http.Client, url string) {
		for _, id := range []string{"a", "b", "a"} {
			do(t, c, "POST", url+"/count?id="+id, nil)
		}
		_, text := do(t, c, "GET", url+"/count/report", nil)
		var got demo.CountReport
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Backend != "blue" || got.Executed != 3 || got.Distinct != 2 || got.Doubled != 1 || got.Twice["a"] != 2 {
			t.Errorf("%+v", got)
		}
		_, text = do(t, c, "GET", url+"/count/report?ids=all", nil)
		if want := "{\"id\":\"a\",\"count\":2}\n{\"id\":\"b\",\"count\":1}\n"; text != want {
			t.Errorf("ids: %q, want %q", text, want)
		}
		do(t, c, "DELETE", url+"/count/report", nil)
		if _, text := do(t, c, "GET", url+"/count/report", nil); !strings.Contains(text, `"executed": 0`) {
			t.Errorf("after a reset: %s", text)
		}
	})
}

func TestCounterIsBounded(t *testing.T) {
	c := demo.NewCounter(2)
	for _, step := range []struct {
		id   string
		want int
	}{{"a", 1}, {"b", 1}, {"c", 0}, {"a", 2}} {
		if got := c.Execute(step.id); got != step.want {
			t.Errorf("Execute(%q) = %d, want %d", step.id, got, step.want)
		}
	}
	if got := c.Report(); got.Overflow != 1 || got.Executed != 3 || got.Distinct != 2 {
		t.Errorf("%+v", got)
	}
}

func TestCounterCountsConcurrentExecutions(t *testing.T) {
	c := demo.NewCounter(10)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				c.Execute("x")
			}
		})
	}
	group.Wait()
	if got := c.Count("x"); got != 8000 {
		t.Errorf("counted %d, want 8000", got)
	}
}
