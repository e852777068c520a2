package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Sensitive is a secret value: nothing, plain text on its way in or out of the
// store, or sealed bytes at rest. It marshals neither: JSON, fmt and slog show
// only whether there is a value. The store seals it on write and keeps the
// sealed form on read; only package secret opens it (design 4, P9).
type Sensitive struct {
	plain  string
	sealed []byte
	state  sensitiveState
}

type sensitiveState uint8

const (
	sensitiveEmpty sensitiveState = iota
	sensitivePlain
	sensitiveSealed
	sensitiveKept
)

// Plain is a secret as a person or an agent gave it.
func Plain(text string) Sensitive { return Sensitive{plain: text, state: sensitivePlain} }

// Sealed is a secret as the store holds it.
func Sealed(box []byte) Sensitive { return Sensitive{sealed: box, state: sensitiveSealed} }

// Kept asks the store to leave what it holds for this field: what a client
// means by {"HasValue":true} without NewValue (octopus-api.md 1.8). Where the
// store holds nothing, it becomes the empty value.
func Kept() Sensitive { return Sensitive{state: sensitiveKept} }

// HasValue says whether there is a secret: plain, sealed, or kept.
func (s Sensitive) HasValue() bool { return s.state != sensitiveEmpty }

// IsKept says that the store's value stays.
func (s Sensitive) IsKept() bool { return s.state == sensitiveKept }

// Reveal returns the plain text; ok is false for every other state.
func (s Sensitive) Reveal() (text string, ok bool) { return s.plain, s.state == sensitivePlain }

// Box returns the sealed bytes; ok is false for every other state.
func (s Sensitive) Box() (box []byte, ok bool) { return s.sealed, s.state == sensitiveSealed }

// Equal compares state and content, for tests.
func (s Sensitive) Equal(o Sensitive) bool {
	return s.state == o.state && s.plain == o.plain && bytes.Equal(s.sealed, o.sealed)
}

func (s Sensitive) String() string {
	if s.HasValue() {
		return "********"
	}
	return ""
}

// GoString keeps %#v from showing the value.
func (s Sensitive) GoString() string { return fmt.Sprintf("resource.Sensitive(%q)", s.String()) }

// LogValue keeps slog from showing the value.
func (s Sensitive) LogValue() slog.Value { return slog.StringValue(s.String()) }

// sensitiveJSON is the wire form (octopus-api.md 1.8).
type sensitiveJSON struct {
	HasValue bool
	NewValue *string
	Hint     *string
}

// MarshalJSON shows whether there is a value (octopus-api.md 1.8).
func (s Sensitive) MarshalJSON() ([]byte, error) {
	return json.Marshal(sensitiveJSON{HasValue: s.HasValue()})
}

// UnmarshalJSON reads the wire form: a NewValue is Plain, a HasValue without
// one is Kept, anything else is empty. MarshalJSON never writes a NewValue, so
// what this reads back from a stored document is Kept until the store has put
// the sealed bytes in.
func (s *Sensitive) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		*s = Sensitive{}
		return nil
	}
	var wire sensitiveJSON
	if err := json.Unmarshal(data, &wire); err != nil {
		return Errorf(Invalid, `A sensitive value has to be an object: {"HasValue":true,"NewValue":"…"} sets it, {"HasValue":true} keeps it, {"HasValue":false} clears it.`)
	}
	switch {
	case wire.NewValue != nil:
		*s = Plain(*wire.NewValue)
	case wire.HasValue:
		*s = Kept()
	default:
		*s = Sensitive{}
	}
	return nil
}
