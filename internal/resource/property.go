package resource

import (
	"bytes"
	"encoding/json"
	"sort"
)

// PropertyValue is a text or a secret: a value of an action's Properties or a
// template's DefaultValue (octopus-api.md 1.8).
type PropertyValue struct {
	Text        string
	Secret      Sensitive
	IsSensitive bool // Secret counts, not Text
}

// Text is a PropertyValue that everybody may read.
func Text(text string) PropertyValue { return PropertyValue{Text: text} }

// Secret is a PropertyValue that nobody may read back.
func Secret(s Sensitive) PropertyValue { return PropertyValue{Secret: s, IsSensitive: true} }

// MarshalJSON writes a JSON string or the sensitive form.
func (v PropertyValue) MarshalJSON() ([]byte, error) {
	if v.IsSensitive {
		return v.Secret.MarshalJSON()
	}
	return json.Marshal(v.Text)
}

// UnmarshalJSON reads a string, the sensitive form, or a bare number or
// boolean as its text ("True" and "False", as .NET clients write them).
func (v *PropertyValue) UnmarshalJSON(data []byte) error {
	*v = PropertyValue{}
	switch {
	case bytes.Equal(data, []byte("null")):
		return nil
	case bytes.Equal(data, []byte("true")):
		v.Text = "True"
		return nil
	case bytes.Equal(data, []byte("false")):
		v.Text = "False"
		return nil
	case len(data) > 0 && data[0] == '{':
		v.IsSensitive = true
		return v.Secret.UnmarshalJSON(data)
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, &v.Text)
	case len(data) > 0 && data[0] == '[':
		return Errorf(Invalid, "A property has to be a text or a sensitive value, not a list.")
	}
	v.Text = string(data)
	return nil
}

// Properties are the named settings of a step or an action. JSON nulls are
// dropped: clients read one as a secret (octopus-api.md 1.5).
type Properties map[string]PropertyValue

// Get is the property's text; "" when it is absent or sensitive.
func (p Properties) Get(name string) string { return p[name].Text }

// Names are the names in order.
func (p Properties) Names() []string {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// MarshalJSON writes {} for none, never null.
func (p Properties) MarshalJSON() ([]byte, error) {
	if p == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]PropertyValue(p))
}

// UnmarshalJSON reads the object without its nulls.
func (p *Properties) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Errorf(Invalid, "Properties have to be an object of texts and sensitive values.")
	}
	*p = make(Properties, len(raw))
	for name, value := range raw {
		if bytes.Equal(value, []byte("null")) {
			continue
		}
		var v PropertyValue
		if err := v.UnmarshalJSON(value); err != nil {
			return err
		}
		(*p)[name] = v
	}
	return nil
}

// EachSecret visits the sensitive values; field is prefix and the name.
func (p Properties) EachSecret(prefix string, visit func(field string, s *Sensitive)) {
	for _, name := range p.Names() {
		v := p[name]
		if !v.IsSensitive {
			continue
		}
		visit(prefix+name, &v.Secret)
		p[name] = v
	}
}
