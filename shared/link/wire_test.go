package link

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A wireSample is a packet and what parses it; parse returns it put together again.
type wireSample struct {
	name   string
	packet []byte
	parse  func(b []byte) ([]byte, error)
	signed bool // whole: each other length is refused
}

var sampleKey = key{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func data(kind byte) []byte {
	b := make([]byte, headerSize, headerSize+5)
	dataHeader{kind: kind, flow: 0xabcdef, seq: 0x010203, time: 0x0f4240}.put(b)
	return append(b, 0x40, 'Q', 'U', 'I', 'C')
}

func reparsedData(b []byte) ([]byte, error) {
	h, err := parseData(b)
	if err != nil {
		return nil, err
	}
	again := make([]byte, headerSize)
	h.put(again)
	return append(again, b[headerSize:]...), nil
}

func reparsedParity(b []byte) ([]byte, error) {
	h, err := parseParity(b)
	if err != nil {
		return nil, err
	}
	again := make([]byte, headerSize)
	h.put(again)
	return append(again, b[headerSize:]...), nil
}

func sampleReport() report {
	return report{number: 7, received: 1000, missing: 31, congested: 2, outages: 12, runs: [runClasses]uint32{9, 2, 1, 0, 0, 0}, largest: 1462, queueing: 125, echo: 0x0f4240, held: 25}
}

func reparsedReport(b []byte) ([]byte, error) {
	r, err := parseReport(b, sampleKey)
	if err != nil {
		return nil, err
	}
	return r.append(nil, 0xabcdef, sampleKey), nil
}

func reparsedRequest(b []byte) ([]byte, error) {
	number, wanted, err := parseRequest(b, sampleKey)
	if err != nil {
		return nil, err
	}
	var sequences []uint32
	for ; len(wanted) > 0; wanted = wanted[3:] {
		sequences = append(sequences, get24(wanted))
	}
	return appendRequest(nil, 0xabcdef, number, sequences, sampleKey), nil
}

// wireSamples has one packet of each kind.
func wireSamples() []wireSample {
	parity := make([]byte, headerSize, headerSize+5)
	parityHeader{row: 2, flow: 0xabcdef, base: 0x010200, n: 20, length: [2]byte{0x05, 0xa1}}.put(parity)
	parity = append(parity, 0xde, 0xad, 0xbe, 0xef, 0x01)
	r := sampleReport()
	return []wireSample{
		{"data", data(kindData), reparsedData, false},
		{"coded", data(kindCoded), reparsedData, false},
		{"probe", data(kindProbe), reparsedData, false},
		{"again", data(kindAgain), reparsedData, false},
		{"parity", parity, reparsedParity, false},
		{"report", r.append(nil, 0xabcdef, sampleKey), reparsedReport, true},
		{"request", appendRequest(nil, 0xabcdef, 3, []uint32{0x0101ff, 0x010203}, sampleKey), reparsedRequest, true},
	}
}

// The files of testdata/golden hold a packet each as hexadecimal bytes, with what
// they mean after a bar. docs/link.md prints the same lines.
func TestGoldenBytes(t *testing.T) {
	samples := wireSamples()
	for _, s := range samples {
		file := filepath.Join("testdata", "golden", s.name+".txt")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; the packet is\n% x", err, s.packet)
			continue
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "|")
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
		want, err := hex.DecodeString(digits.String())
		if err != nil || !bytes.Equal(want, s.packet) {
			t.Errorf("%s: got\n% x\nwant\n% x (%v)", file, s.packet, want, err)
		}
	}
	if files, err := filepath.Glob("testdata/golden/*"); err != nil || len(files) != len(samples) {
		t.Errorf("%d golden files for %d kinds of packets (%v)", len(files), len(samples), err)
	}
}

var (
	textBlock  = regexp.MustCompile("(?ms)^```text\n(.*?)^```$")
	goldenLine = regexp.MustCompile(`^[0-9a-f]{2}( [0-9a-f]{2})* *\|`)
)

// goldenBlocks returns the blocks of a page that hold golden bytes, whole.
func goldenBlocks(page string) (blocks []string) {
	for _, m := range textBlock.FindAllStringSubmatch(page, -1) {
		if goldenLine.MatchString(m[1]) {
			blocks = append(blocks, m[1])
		}
	}
	return blocks
}

func TestDocumentPrintsTheGoldenBytes(t *testing.T) {
	const page = "../../docs/link.md"
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	missing := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		missing[string(text)] = file
	}
	for _, block := range goldenBlocks(string(doc)) {
		if missing[block] == "" {
			t.Errorf("%s prints what is no golden file, or prints it twice:\n%s", page, block)
		}
		delete(missing, block)
	}
	for text, file := range missing {
		t.Errorf("no ```text block of %s is %s:\n%s", page, file, text)
	}
}

func TestGoldenBlocksAreFoundOnAPage(t *testing.T) {
	page := "# x\n\n```text\n01 ab | data\n```\n\n```text\na picture | 1\n```\n\n```yaml\n01 | no\n```\n\n```text\n02    | coded\nff ff |\n```\n"
	got := goldenBlocks(page)
	if len(got) != 2 || got[0] != "01 ab | data\n" || got[1] != "02    | coded\nff ff |\n" {
		t.Errorf("found %q", got)
	}
}

func TestPacketsSurviveTheRoundTrip(t *testing.T) {
	for _, s := range wireSamples() {
		got, err := s.parse(s.packet)
		if err != nil || !bytes.Equal(got, s.packet) {
			t.Errorf("%s: % x, %v, want % x", s.name, got, err, s.packet)
		}
		if flow, ok := flowOf(s.packet); !ok || flow != 0xabcdef {
			t.Errorf("%s: flow %x, %t", s.name, flow, ok)
		}
		if s.packet[0]&quicBit != 0 {
			t.Errorf("%s: looks like a packet of QUIC", s.name)
		}
	}
}

func TestReportHoldsEveryField(t *testing.T) {
	want := sampleReport()
	got, err := parseReport(want.append(nil, 1, sampleKey), sampleKey)
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// Headers and signed packets do not survive a cut anywhere. What follows a header
// is bytes of QUIC or of the code, as many as come, but at least one.
func TestCutPacketsAreMalformed(t *testing.T) {
	for _, s := range wireSamples() {
		longest := headerSize
		if s.signed {
			longest = len(s.packet) - 1
		}
		for n := range longest + 1 {
			if got, err := s.parse(s.packet[:n]); err != errMalformed {
				t.Errorf("%s cut to %d of %d bytes: % x, %v", s.name, n, len(s.packet), got, err)
			}
			if _, ok := flowOf(s.packet[:n]); ok != (n >= 4) {
				t.Errorf("%s cut to %d bytes: has a flow: %t", s.name, n, ok)
			}
		}
	}
}

func TestChangedPacketsAreMalformed(t *testing.T) {
	for _, s := range wireSamples() {
		if !s.signed {
			continue
		}
		for bit := range 8 * len(s.packet) {
			changed := bytes.Clone(s.packet)
			changed[bit/8] ^= 1 << (bit % 8)
			if _, err := s.parse(changed); err != errMalformed {
				t.Errorf("%s with bit %d changed: %v", s.name, bit, err)
			}
		}
		if _, err := s.parse(append(bytes.Clone(s.packet), 0)); err != errMalformed {
			t.Errorf("%s with a byte more: %v", s.name, err)
		}
	}
	if _, err := parseReport(wireSamples()[5].packet, key{}); err != errMalformed {
		t.Errorf("a report for somebody else: %v", err)
	}
	if _, _, err := parseRequest(wireSamples()[6].packet, key{}); err != errMalformed {
		t.Errorf("a request to somebody else: %v", err)
	}
}

func TestRequestsNameAsManyPacketsAsTheyMay(t *testing.T) {
	for _, c := range []struct {
		n  int
		ok bool
	}{{0, true}, {1, true}, {maxWanted, true}, {maxWanted + 1, false}} {
		_, wanted, err := parseRequest(appendRequest(nil, 1, 1, make([]uint32, c.n), sampleKey), sampleKey)
		if (err == nil) != c.ok || c.ok && len(wanted) != 3*c.n {
			t.Errorf("%d packets: %d bytes, %v", c.n, len(wanted), err)
		}
	}
}

func TestParityOfTooManyPacketsIsMalformed(t *testing.T) {
	parity := wireSamples()[4].packet
	for n := range 256 {
		parity[7] = byte(n)
		h, err := parseParity(parity)
		if ok := n < maxGroup; ok != (err == nil) || ok && h.n != n+1 {
			t.Errorf("over %d packets: %+v, %v", n+1, h, err)
		}
	}
}

func TestOnlyParityIsParsedAsParity(t *testing.T) {
	parity := wireSamples()[4].packet
	for first := range 256 {
		parity[0] = byte(first)
		h, err := parseParity(parity)
		if ok := first >= kindParity && first < kindParity+maxRows; ok != (err == nil) || ok && h.row != first-kindParity {
			t.Errorf("first byte %#x: %+v, %v", first, h, err)
		}
	}
}

func TestExpandFindsTheNumberNextToTheLast(t *testing.T) {
	const full, half = 1 << wireBits, 1 << (wireBits - 1)
	for _, c := range []struct {
		name string
		near uint64
		want uint64
	}{
		{"the same", full + 5, full + 5},
		{"the next", full + 5, full + 6},
		{"one before", full + 5, full + 4},
		{"after the wrap", 2*full - 1, 2 * full},
		{"far after the wrap", 2*full - 1, 2*full + 10000},
		{"before the wrap", 2 * full, 2*full - 1},
		{"far before the wrap", 2*full + 10, 2*full - 10000},
		{"almost half ahead", 3 * full, 3*full + half - 1},
		{"almost half behind", 3 * full, 3*full - half + 1},
		{"many rounds later", 1<<40 + 7, 1<<40 + 9},
		{"the first numbers", 0, 3},
		{"back at the first numbers", 9, 0},
	} {
		if got := expand(uint32(c.want&wireMask), c.near); got != c.want {
			t.Errorf("%s: %#x near %#x is %#x, want %#x", c.name, c.want&wireMask, c.near, got, c.want)
		}
	}
	// There is nothing before the first number.
	if got := expand(wireMask, 3); got != wireMask {
		t.Errorf("%#x near 3 is %#x", wireMask, got)
	}
}

func TestRunsHaveClasses(t *testing.T) {
	want := []int{0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5}
	for i, class := range want {
		if got := classOf(i + 1); got != class {
			t.Errorf("a run of %d: class %d, want %d", i+1, got, class)
		}
	}
	if got := classOf(maxRun); got != runClasses-1 {
		t.Errorf("the longest run: class %d", got)
	}
}
