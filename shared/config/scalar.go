package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/ergoproxy/ergo/shared/config/internal/schema"
)

// A number is written in one way only: YAML 1.1 reads 010 as 8 and 1_0 as 10,
// YAML 1.2 does not, and a person can't know which of them we follow.
var (
	wholeNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimalNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// setScalar puts the text of n into v, a boolean, number or string, and reports
// whether it fits as it is.
func setScalar(n *node, v reflect.Value) bool {
	switch schema.KindOf(v.Type()) {
	case schema.String:
		if n.kind != text {
			return false
		}
		v.SetString(n.text)
		return true
	case schema.Bool:
		v.SetBool(strings.EqualFold(n.text, "true"))
		return n.kind == boolean
	case schema.Int:
		i, err := strconv.ParseInt(n.text, 10, v.Type().Bits())
		v.SetInt(i)
		return err == nil && !n.quoted && wholeNumber.MatchString(n.text)
	case schema.Uint:
		u, err := strconv.ParseUint(n.text, 10, v.Type().Bits())
		v.SetUint(u)
		return err == nil && !n.quoted && wholeNumber.MatchString(n.text)
	case schema.Float:
		f, err := strconv.ParseFloat(n.text, v.Type().Bits())
		v.SetFloat(f)
		return err == nil && !n.quoted && decimalNumber.MatchString(n.text)
	}
	panic(fmt.Sprintf("config: no decoder for %v", v.Type()))
}

// Describe says in a few words what may be written for a value of type t:
// "a whole number from 0 to 65535", "a list".
func Describe(t reflect.Type) string {
	t = schema.Deref(t)
	zero := reflect.New(t).Interface()
	if d, ok := zero.(Describer); ok {
		return d.Describe()
	}
	if e, ok := zero.(Enum); ok {
		return "one of " + strings.Join(e.Values(), ", ")
	}
	if words, ok := textWords[t]; ok {
		return words
	}
	switch schema.KindOf(t) {
	case schema.Bool:
		return "true or false"
	case schema.Int:
		return intWords(t)
	case schema.Uint:
		return uintWords(t)
	case schema.Float:
		return "a number such as 0.5"
	case schema.List:
		return "a list"
	case schema.Map, schema.Struct:
		if _, ok := zero.(Scalar); ok {
			return "text or a mapping"
		}
		return "a mapping"
	}
	return "text"
}

// textWords describes the types of the standard library that configs use; their
// own errors are for programmers.
var textWords = map[reflect.Type]string{
	reflect.TypeFor[netip.Addr]():     "an IP address such as 10.0.0.5 or 2001:db8::5",
	reflect.TypeFor[netip.AddrPort](): "an IP address and port such as 10.0.0.5:443 or [2001:db8::5]:443",
	reflect.TypeFor[netip.Prefix]():   "an address range such as 10.0.0.0/8 or 2001:db8::/32",
}

// textError returns the problem with text as a value of t.
func textError(t reflect.Type, text string, err error) error {
	if words, ok := textWords[t]; ok {
		return fmt.Errorf("%q is not valid, want %s", text, words)
	}
	return err
}

func intWords(t reflect.Type) string {
	if t.Bits() == 64 {
		return "a whole number such as 10"
	}
	limit := int64(1) << (t.Bits() - 1)
	return fmt.Sprintf("a whole number from %d to %d", -limit, limit-1)
}

func uintWords(t reflect.Type) string {
	if t.Bits() == 64 {
		return "a whole number of 0 or more"
	}
	return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
}
