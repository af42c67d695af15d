package stack_test

import (
	"encoding/json"
	"slices"
	"testing"
)

// A row of the matrix is one thing that must work in every combination of client,
// carrier and backend.
type row struct {
	name string
	run  func(t *testing.T, c *cell)
	only []string // client protocols that have it; none: all
}

var http1 = []string{"h1", "h1tls"}

var rows = slices.Concat(headRows, bodyRows, streamRows, failureRows, fieldRows, oddRows)

// TestMatrix runs every row over every client protocol, carrier and backend
// protocol. Each exchange must be logged exactly once by each tier that saw it.
func TestMatrix(t *testing.T) {
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			in := install(t, carrier)
			for _, client := range clientProtocols {
				for _, backend := range backendProtocols {
					for _, r := range rows {
						if len(r.only) > 0 && !slices.Contains(r.only, client) {
							continue
						}
						t.Run(client+"/"+backend+"/"+r.name, func(t *testing.T) {
							t.Parallel()
							r.run(t, newCell(t, in, client, backend))
						})
					}
				}
			}
		})
	}
}

func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}
