package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxDate is the last second of the year 9999. A date behind it is a mistake or
// an attempt to overflow.
const maxDate = 253402300799

// head is what a token says about its signature.
type head struct {
	alg    string
	kid    string
	hasKid bool
}

// readHead reads the first part of a token before golang-jwt does: its decoder
// takes the last of two members with the same name, and knows no crit.
func readHead(token string) (head, error) {
	encoded, _, ok := strings.Cut(token, ".")
	if !ok {
		return head{}, jwt.ErrTokenMalformed
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return head{}, fmt.Errorf("decode header: %w", err)
	}
	var h head
	err = eachMember(text, func(name string, value json.RawMessage) error {
		switch name {
		case "alg":
			return readString(value, &h.alg)
		case "kid":
			h.hasKid = true
			return readString(value, &h.kid)
		case "typ":
			return checkType(value)
		case "crit", "b64":
			// Extensions that must be understood (RFC 7515, section 4.1.11; RFC
			// 7797). None is.
			return errors.New("extension that is not known")
		default:
			return nil
		}
	})
	if err != nil {
		return head{}, fmt.Errorf("read header: %w", err)
	}
	if _, known := algorithms[h.alg]; !known {
		return head{}, errors.New("read header: algorithm that is not known")
	}
	if len(h.kid) > maxKeyID {
		return head{}, fmt.Errorf("read header: kid longer than %d bytes", maxKeyID)
	}
	return h, nil
}

// checkType refuses tokens that say to be something else than one for access
// (RFC 8725, section 3.11): logout tokens, proofs and the like are signed by the
// same issuers with the same keys.
func checkType(value json.RawMessage) error {
	var typ string
	if err := readString(value, &typ); err != nil {
		return err
	}
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "jwt", "at+jwt":
		return nil
	default:
		return errors.New("type that is not for access")
	}
}

// claims are the payload of a token. It implements jwt.Claims; names are
// compared exactly, and a second member of the same name is refused.
type claims struct {
	issuer    string
	subject   string
	audience  []string
	expiresAt *jwt.NumericDate
	notBefore *jwt.NumericDate
	issuedAt  *jwt.NumericDate
	scopes    []string

	wanted map[string]bool // which others to keep in extra; set before decoding
	extra  map[string][]string
}

// GetExpirationTime implements jwt.Claims.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.expiresAt, nil }

// GetIssuedAt implements jwt.Claims.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.issuedAt, nil }

// GetNotBefore implements jwt.Claims.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return c.notBefore, nil }

// GetIssuer implements jwt.Claims.
func (c *claims) GetIssuer() (string, error) { return c.issuer, nil }

// GetSubject implements jwt.Claims.
func (c *claims) GetSubject() (string, error) { return c.subject, nil }

// GetAudience implements jwt.Claims.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) { return c.audience, nil }

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(text []byte) error { return eachMember(text, c.member) }

func (c *claims) member(name string, value json.RawMessage) (err error) {
	switch name {
	case "iss":
		err = readString(value, &c.issuer)
	case "sub":
		err = readString(value, &c.subject)
	case "aud":
		c.audience, err = readStrings(value)
	case "exp":
		c.expiresAt, err = readDate(value)
	case "nbf":
		c.notBefore, err = readDate(value)
	case "iat":
		c.issuedAt, err = readDate(value)
	case "scope", "scp":
		var lists []string
		lists, err = readStrings(value)
		for _, list := range lists {
			c.scopes = append(c.scopes, strings.Fields(list)...)
		}
	}
	if err == nil && c.wanted[name] {
		if c.extra == nil {
			c.extra = make(map[string][]string, len(c.wanted))
		}
		c.extra[name] = readValues(value)
	}
	return err
}

// eachMember calls f for each member of the JSON object in text, and refuses two
// of the same name.
func eachMember(text []byte, f func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("no JSON object")
	}
	seen := make(map[string]bool, 8)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name := t.(string) // the decoder lets nothing else stand here
		if seen[name] {
			return errors.New("two members of the same name")
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something after the JSON object")
	}
	return nil
}

var errType = errors.New("member of the wrong type")

func readString(value json.RawMessage, to *string) error {
	if len(value) == 0 || value[0] != '"' {
		return errType
	}
	return json.Unmarshal(value, to)
}

// readStrings reads a string or a list of strings.
func readStrings(value json.RawMessage) ([]string, error) {
	if len(value) > 0 && value[0] == '"' {
		var s string
		err := json.Unmarshal(value, &s)
		return []string{s}, err
	}
	var list []*string
	if err := json.Unmarshal(value, &list); err != nil || list == nil {
		return nil, errType
	}
	strings := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, errType
		}
		strings[i] = *s
	}
	return strings, nil
}

func readDate(value json.RawMessage) (*jwt.NumericDate, error) {
	var seconds *float64
	if err := json.Unmarshal(value, &seconds); err != nil || seconds == nil {
		return nil, errType
	}
	if *seconds < 0 || *seconds > maxDate {
		return nil, errors.New("date out of range")
	}
	return jwt.NewNumericDate(time.Unix(int64(*seconds), 0)), nil
}

// readValues reads a string, number or boolean, or a list of these, as text.
// What else a claim may be has no values.
func readValues(value json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		list = []json.RawMessage{value}
	}
	var values []string
	for _, element := range list {
		var s string
		switch {
		case readString(element, &s) == nil:
			values = append(values, s)
		case len(element) > 0 && element[0] != '{' && element[0] != '[' && string(element) != "null":
			values = append(values, string(element))
		}
	}
	return values
}
