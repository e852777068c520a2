package resource

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// TypeSensitive is the Variable.Type of a value that is never readable back.
const TypeSensitive = "Sensitive"

// Limits of one variable set, in bytes and entries (abuse 58, 59, 67). A value
// may be a certificate or a settings file; a name is something people type.
const (
	MaxVariableName  = 1000
	MaxVariableValue = 1 << 20
	MaxVariables     = 100_000
)

// Variable is one named value of a VariableSet with the scope it applies to
// (octopus-api.md 2.7). Several variables may share a name: package variables
// decides which of them wins.
type Variable struct {
	ID          string          `json:"Id"`
	Name        string          `json:"Name"`
	Value       string          `json:"Value"` // empty when sensitive; a template otherwise, never evaluated here
	Secret      Sensitive       `json:"-"`     // the value when IsSensitive or Type is TypeSensitive
	Type        string          `json:"Type"`
	Description string          `json:"Description,omitempty"`
	IsSensitive bool            `json:"IsSensitive"`
	IsEditable  bool            `json:"IsEditable"`
	Prompt      *VariablePrompt `json:"Prompt"`
	Scope       VariableScope   `json:"Scope"`
}

// Sensitive says whether the value lives in Secret.
func (v *Variable) Sensitive() bool { return v.IsSensitive || v.Type == TypeSensitive }

// VariablePrompt asks for the value when a deployment is created
// (configuration.md 2.3).
type VariablePrompt struct {
	Label           string            `json:"Label"`
	Description     string            `json:"Description"`
	Required        bool              `json:"Required"`
	DisplaySettings map[string]string `json:"DisplaySettings"`
}

// VariableScope restricts where a variable applies: OR inside a dimension, AND
// between dimensions; an empty dimension does not restrict (configuration.md
// 2.1).
type VariableScope struct {
	Environment  []string `json:"Environment,omitempty"`
	Machine      []string `json:"Machine,omitempty"`
	Action       []string `json:"Action,omitempty"`
	Role         []string `json:"Role,omitempty"` // target tags
	Channel      []string `json:"Channel,omitempty"`
	TenantTag    []string `json:"TenantTag,omitempty"`
	ProcessOwner []string `json:"ProcessOwner,omitempty"` // a project (its deployment process) or a runbook
}

// VariableSet holds the variables of one owner: a project, a library variable
// set, or a snapshot of either. Version is the optimistic lock, +1 per PUT.
type VariableSet struct {
	ID        string     `json:"Id"`
	OwnerID   string     `json:"OwnerId"`
	SpaceID   string     `json:"SpaceId"`
	Version   int        `json:"Version"`
	Variables []Variable `json:"Variables"`
}

// EachSecret calls f with the path and the address of every secret the set can
// hold, so that the store seals and opens them in one walk. The path is stable
// under reordering: it names the variable's id.
func (s *VariableSet) EachSecret(f func(field string, secret *Sensitive)) {
	for i := range s.Variables {
		f("Variables/"+s.Variables[i].ID, &s.Variables[i].Secret)
	}
}

// Validate refuses what no deployment could use: nameless or unprintable
// names, two variables with one id (their secrets would share a path), and a
// secret kept in the open.
func (s *VariableSet) Validate() error {
	if len(s.Variables) > MaxVariables {
		return &Error{Code: TooLarge, Field: "Variables", Message: "A variable set holds at most 100,000 variables. Move some of them to a library variable set."}
	}
	seen := make(map[string]bool, len(s.Variables))
	for i := range s.Variables {
		v := &s.Variables[i]
		if err := v.Validate(); err != nil {
			return err
		}
		if v.ID != "" && seen[v.ID] {
			return variableError(Conflict, "Two variables of this set have the id '%s'. Give each its own, or leave the id blank to have one made.", v.ID)
		}
		seen[v.ID] = true
	}
	return nil
}

// Validate checks one variable by itself.
func (v *Variable) Validate() error {
	switch {
	case strings.TrimSpace(v.Name) == "":
		return variableError(Invalid, "A variable has no name. Give every variable a name.")
	case len(v.Name) > MaxVariableName:
		return variableError(TooLarge, "The variable name starting '%.40s' is longer than %d bytes. Shorten it.", v.Name, MaxVariableName)
	case !printable(v.Name):
		return variableError(Invalid, "The variable name %+q has characters that cannot be shown. Remove them.", v.Name)
	case len(v.Value) > MaxVariableValue:
		return variableError(TooLarge, "The value of variable '%s' is larger than %d bytes. Put it into a package instead.", v.Name, MaxVariableValue)
	case !utf8.ValidString(v.Value):
		return variableError(Invalid, "The value of variable '%s' is not valid UTF-8. Encode it, for example as base64.", v.Name)
	case v.Sensitive() && v.Value != "":
		return variableError(Invalid, "Variable '%s' is sensitive but carries its value in the open. Send it as the new sensitive value.", v.Name)
	case !v.Sensitive() && v.Secret.HasValue():
		return variableError(Invalid, "Variable '%s' is not sensitive but carries a secret. Mark it sensitive.", v.Name)
	}
	return nil
}

func variableError(code Code, format string, args ...any) *Error {
	e := Errorf(code, format, args...)
	e.Field = "Variables"
	return e
}

// printable refuses bad UTF-8, control characters and the invisible ones that
// make a name read as another (abuse 59).
func printable(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}
