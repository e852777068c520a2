package resource

import (
	"encoding/json"
	"errors"
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
)

// Plain is a secret as a person or an agent gave it.
func Plain(text string) Sensitive { return Sensitive{plain: text, state: sensitivePlain} }

// Sealed is a secret as the store holds it.
func Sealed(box []byte) Sensitive { return Sensitive{sealed: box, state: sensitiveSealed} }

// HasValue says whether there is a secret, plain or sealed.
func (s Sensitive) HasValue() bool { return s.state != sensitiveEmpty }

// Reveal returns the plain text; ok is false when it is empty or sealed.
func (s Sensitive) Reveal() (text string, ok bool) { return s.plain, s.state == sensitivePlain }

// Box returns the sealed bytes; ok is false when it is empty or plain.
func (s Sensitive) Box() (box []byte, ok bool) { return s.sealed, s.state == sensitiveSealed }

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

// MarshalJSON shows whether there is a value (octopus-api.md 1.8).
func (s Sensitive) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"HasValue": s.HasValue(), "NewValue": nil, "Hint": nil})
}

// UnmarshalJSON always fails: how a secret comes in is decided by package api,
// how it is stored by package store.
func (s *Sensitive) UnmarshalJSON([]byte) error {
	return errors.New("resource: a sensitive value cannot be decoded here")
}
