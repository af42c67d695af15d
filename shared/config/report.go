package config

import "fmt"

// Report collects the problems of one struct. The zero value is ready to use;
// it is not safe for concurrent use.
type Report struct {
	prefix   string
	problems []Problem
	warnings []Problem
}

// Errorf adds a problem with the value at key, a path relative to the struct
// that is being validated ("address", "endpoints[1]"), or "" for the struct
// itself. The text says what is wrong and what is allowed.
func (r *Report) Errorf(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{Key: join(r.prefix, key), Text: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning about the value at key: the config can be used, but will
// not do what was meant.
func (r *Report) Warnf(key, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{Key: join(r.prefix, key), Text: fmt.Sprintf(format, args...)})
}

// Check adds err as a problem with the value at key, and nothing if err is nil:
// r.Check("address", config.CheckListenAddress(c.Address)).
func (r *Report) Check(key string, err error) {
	if err != nil {
		r.Errorf(key, "%v", err)
	}
}

// Problems returns what was reported, in order.
func (r *Report) Problems() []Problem { return r.problems }

// Warnings returns what was warned of, in order.
func (r *Report) Warnings() []Problem { return r.warnings }
