package configure

import (
	"errors"
	"strings"

	"github.com/slipwayhq/slipway/internal/template"
)

// value is an evaluated variable.
type value struct {
	text      string
	null      bool
	sensitive bool
	missing   string // the tokens in it that have no value
	err       error
}

// value evaluates the variable with exactly this name; ok is false when there
// is none. Tokens that do not resolve stay in the text, as in every feature of
// the field's other tool, and are warned about where the value is written; a
// value that is no template is taken as it is.
func (r *run) value(name string) (v value, ok bool) {
	raw, ok := r.vars.GetRaw(name)
	if !ok {
		return value{}, false
	}
	key := strings.ToLower(name)
	if v, done := r.values[key]; done {
		return v, true
	}
	v = value{null: true, sensitive: raw.Sensitive}
	if result, has := r.vars.Get(name); has {
		v = value{text: result.Text, sensitive: result.Sensitive, err: result.Err}
	}
	if e, unresolved := errors.AsType[*template.MissingError](v.err); unresolved {
		v.missing, v.err = strings.Join(e.Tokens, ", "), nil
	}
	if _, plain := errors.AsType[*template.ParseError](v.err); plain {
		v.err = nil
	}
	r.values[key] = v
	return v, true
}

// place is an offset in a file's text; its line is counted when it is needed.
type place struct {
	path, text string
	pos        int
}

// use is value for one place in a file: it warns and fails with that place.
func (r *run) use(at place, name string, c *Change) (v value, ok bool, err error) {
	v, ok = r.value(name)
	if !ok {
		return v, false, nil
	}
	if v.err != nil {
		return v, true, fileError(at.path, lineOf(at.text, at.pos), name, v.err)
	}
	if v.missing != "" {
		r.warn("%s, line %d: variable '%s' refers to what has no value: %s", at.path, lineOf(at.text, at.pos), name, v.missing)
	}
	c.Variables = append(c.Variables, name)
	c.Sensitive = c.Sensitive || v.sensitive
	return v, true, nil
}
