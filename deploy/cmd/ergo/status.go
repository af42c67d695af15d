package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
)

func runStatus(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("status", "[flags] [ADDRESS]\n\nADDRESS is the admin address of a tier, 127.0.0.1:9901 by default.", stderr)
	asJSON := flags.Bool("json", false, "print the JSON as the tier sends it")
	var client adminClient
	client.flags(flags)
	if err := parse(flags, args, anyNumber); err != nil {
		return err
	}
	if flags.NArg() > 1 {
		return misuse(flags, "%d arguments, want one address", flags.NArg())
	}
	address := "127.0.0.1:9901"
	if flags.NArg() == 1 {
		address = flags.Arg(0)
	}
	if err := client.open(); err != nil {
		return err
	}
	url, err := client.adminURL(address, "/status")
	if err != nil {
		return misuse(flags, "%v", err)
	}
	status, body, err := client.get(ctx, url)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return refusal(url, status, body)
	}
	if *asJSON {
		_, err = stdout.Write(body)
		return err
	}
	return printStatus(stdout, body)
}

// printStatus prints any JSON object for people: its plain values first, then a
// section for each object in it and a table for each list of objects. It knows
// no field by name, so that the tiers are free to say more.
func printStatus(w io.Writer, body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := decodeOrdered(d, 0)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	o, ok := v.(object)
	if !ok {
		return errors.New("read status: it is no JSON object")
	}
	var out bytes.Buffer
	printObject(&out, "", o)
	_, err = w.Write(out.Bytes())
	return err
}

// object is a JSON object in the order in which it came.
type object []member

type member struct {
	key   string
	value any // object, []any, string, json.Number, bool or nil
}

// maxDepth bounds how deep JSON may be nested.
const maxDepth = 16

func decodeOrdered(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	var o object
	list := []any{}
	for d.More() {
		var key string
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ = k.(string)
		}
		v, err := decodeOrdered(d, depth+1)
		if err != nil {
			return nil, err
		}
		o, list = append(o, member{key, v}), append(list, v)
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		return nil, err
	}
	if delim == '{' {
		return o, nil
	}
	return list, nil
}

func printObject(out *bytes.Buffer, title string, o object) {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	var nested []member
	if title != "" && slices.ContainsFunc(o, func(m member) bool { return isPlain(m.value) }) {
		fmt.Fprintf(out, "\n%s\n", printable(title))
	}
	for _, m := range o {
		if !isPlain(m.value) {
			nested = append(nested, m)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\n", printable(m.key), plain(m.value))
	}
	table.Flush()
	for _, m := range nested {
		name := strings.TrimPrefix(title+"."+m.key, ".")
		if child, ok := m.value.(object); ok {
			printObject(out, name, child)
			continue
		}
		fmt.Fprintf(out, "\n%s\n", printable(name))
		printTable(out, m.value.([]any))
	}
}

// printTable prints a list of objects, a column for each key that any of them
// has, in the order of first appearance.
func printTable(out *bytes.Buffer, rows []any) {
	var columns []string
	for _, row := range rows {
		o, _ := row.(object)
		for _, m := range o {
			if !slices.Contains(columns, m.key) {
				columns = append(columns, m.key)
			}
		}
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintf(table, "  %s\n", strings.ToUpper(strings.Join(mapPrintable(columns), "\t")))
	for _, row := range rows {
		o, _ := row.(object)
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = "-"
			if at := slices.IndexFunc(o, func(m member) bool { return m.key == column }); at >= 0 {
				cells[i] = plain(o[at].value)
			}
		}
		fmt.Fprintf(table, "  %s\n", strings.Join(cells, "\t"))
	}
}

func mapPrintable(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = printable(s)
	}
	return out
}

// isPlain reports whether v fits one cell: all but objects and lists of them.
func isPlain(v any) bool {
	switch v := v.(type) {
	case object:
		return false
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { _, ok := e.(object); return ok })
	}
	return true
}

// plain prints v in one cell.
func plain(v any) string {
	switch v := v.(type) {
	case nil, object:
		return compact(v)
	case []any:
		cells := make([]string, len(v))
		for i, e := range v {
			cells[i] = plain(e)
		}
		return cmp.Or(strings.Join(cells, ", "), "-")
	}
	s := printable(fmt.Sprint(v))
	return cmp.Or(s, "-")
}

// compact prints an object inside a table as "a=1 b=2".
func compact(v any) string {
	o, _ := v.(object)
	if len(o) == 0 {
		return "-"
	}
	cells := make([]string, len(o))
	for i, m := range o {
		cells[i] = printable(m.key) + "=" + plain(m.value)
	}
	return strings.Join(cells, " ")
}
