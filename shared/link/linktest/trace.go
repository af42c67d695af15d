package linktest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxTrace is how many packets a trace has at most.
const maxTrace = 1 << 20

// ReadPattern reads a trace: how many packets got through, how many after them
// were lost, and so on, as decimal numbers with white space between. A line that
// begins with # is a comment. A trace without a packet, or with more than 2^20, is
// an error.
func ReadPattern(r io.Reader) (*Pattern, error) {
	p := new(Pattern)
	lost := false
	lines := bufio.NewScanner(r)
	for line := 1; lines.Scan(); line++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		for _, field := range strings.Fields(lines.Text()) {
			n, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("trace: line %d: %w", line, err)
			}
			if n > maxTrace-uint64(len(p.Losses)) {
				return nil, fmt.Errorf("trace: line %d: more than %d packets", line, maxTrace)
			}
			for range n {
				p.Losses = append(p.Losses, lost)
			}
			lost = !lost
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if len(p.Losses) == 0 {
		return nil, errors.New("trace: no packets")
	}
	return p, nil
}
