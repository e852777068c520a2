package documents

import (
	"bytes"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) variables() []api.Route {
	return []api.Route{
		api.Get("/variables/all", authz.VariableView, "All variable sets", a.allVariables).With("ids"),
		api.Get("/variables/names", authz.VariableView, "The names that a project's deployments know", a.variableNames).With("project", "runbook", "projectEnvironmentsFilter"),
		api.Get("/variables/preview", authz.VariableView, "The values that a deployment would have", a.previewVariables).
			With("project", "runbook", "environment", "channel", "tenant", "action", "machine", "role"),
		api.Get("/variables/{id}", authz.VariableView, "Get a variable set or a snapshot of one", a.getVariables),
		api.Put("/variables/{id}", authz.VariableEdit, "Change a variable set", a.putVariables),
		api.Get("/projects/{id}/variables", authz.VariableView, "Get the variables of a project", a.projectVariables),
		api.Put("/projects/{id}/variables", authz.VariableEdit, "Change the variables of a project", a.putProjectVariables),
	}
}

// VariableSet is a variable set as the wire has it (octopus-api.md 2.7).
type VariableSet struct {
	ID          string `json:"Id"`
	OwnerID     string `json:"OwnerId"`
	SpaceID     string `json:"SpaceId"`
	Version     int
	Variables   []Variable
	ScopeValues documents.ScopeValues
	Links       api.Links
}

// Variable is a variable as the wire has it.
type Variable struct {
	ID          string `json:"Id"`
	Name        string
	Value       VariableValue
	Description string
	Scope       resource.VariableScope
	IsEditable  *bool
	Prompt      *resource.VariablePrompt
	Type        string
	IsSensitive bool
}

// VariableValue is a text, or null: for a sensitive variable that is all that
// anybody reads, and what keeps the stored secret when it is written.
type VariableValue struct {
	Text *string

	cleared bool // {"HasValue":false}
}

// MarshalJSON writes a text or null.
func (v VariableValue) MarshalJSON() ([]byte, error) { return json.Marshal(v.Text) }

// Schema implements huma.SchemaProvider.
func (VariableValue) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true}
}

// UnmarshalJSON reads a text, null, a number or boolean as its text, or the
// form of other secrets.
func (v *VariableValue) UnmarshalJSON(data []byte) error {
	*v = VariableValue{}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var value resource.PropertyValue
	if err := value.UnmarshalJSON(data); err != nil {
		return err
	}
	if !value.IsSensitive {
		v.Text = &value.Text
	} else if plain, ok := value.Secret.Reveal(); ok {
		v.Text = &plain
	} else if !value.Secret.HasValue() {
		v.cleared = true
	}
	return nil
}

func setOf(s documents.ScopedSet) VariableSet {
	space := "/api/" + s.Set.SpaceID
	out := VariableSet{
		ID: s.Set.ID, OwnerID: s.Set.OwnerID, SpaceID: s.Set.SpaceID, Version: s.Set.Version, Variables: []Variable{}, ScopeValues: s.ScopeValues,
		Links: api.Links{"Self": space + "/variables/" + s.Set.ID},
	}
	for i := range s.Set.Variables {
		v := &s.Set.Variables[i]
		one := Variable{
			ID: v.ID, Name: v.Name, Description: v.Description, Scope: v.Scope, IsEditable: &v.IsEditable, Prompt: v.Prompt,
			Type: v.Type, IsSensitive: v.IsSensitive,
		}
		if !v.Sensitive() {
			one.Value.Text = &v.Value
		}
		out.Variables = append(out.Variables, one)
	}
	return out
}

// documentOf is a set as it is stored. A sensitive variable without a value
// keeps its secret, and so does one with an empty value: the Go SDK and what is
// built on it read null into a string and write the whole set back with it.
// {"HasValue":false} clears.
func documentOf(in VariableSet) *resource.VariableSet {
	set := &resource.VariableSet{ID: in.ID, OwnerID: in.OwnerID, Version: in.Version}
	for _, v := range in.Variables {
		one := resource.Variable{
			ID: v.ID, Name: v.Name, Description: v.Description, Scope: v.Scope, IsEditable: v.IsEditable == nil || *v.IsEditable,
			Prompt: v.Prompt, Type: v.Type, IsSensitive: v.IsSensitive || v.Type == resource.TypeSensitive,
		}
		switch {
		case !one.Sensitive() && v.Value.Text != nil:
			one.Value = *v.Value.Text
		case !one.Sensitive():
		case v.Value.cleared:
		case v.Value.Text == nil || *v.Value.Text == "":
			one.Secret = resource.Kept()
		default:
			one.Secret = resource.Plain(*v.Value.Text)
		}
		if one.IsSensitive && one.Type == "" {
			one.Type = resource.TypeSensitive
		}
		set.Variables = append(set.Variables, one)
	}
	return set
}

func (a *area) getVariables(c *api.Call) (VariableSet, error) { return a.readSet(c, c.Param("id")) }

func (a *area) projectVariables(c *api.Call) (VariableSet, error) {
	project, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id"))
	if err != nil {
		return VariableSet{}, err
	}
	return a.readSet(c, to[resource.Project](project).VariableSetID)
}

func (a *area) readSet(c *api.Call, id string) (VariableSet, error) {
	set, err := a.docs.Variables(c.Context(), c.Caller, c.Space, id)
	if err != nil {
		return VariableSet{}, err
	}
	return setOf(set), nil
}

func (a *area) putVariables(c *api.Call, in VariableSet) (VariableSet, error) {
	return a.writeSet(c, c.Param("id"), in)
}

func (a *area) putProjectVariables(c *api.Call, in VariableSet) (VariableSet, error) {
	project, err := a.docs.Get(c.Context(), c.Caller, resource.ProjectKind, c.Space, c.Param("id"))
	if err != nil {
		return VariableSet{}, err
	}
	return a.writeSet(c, to[resource.Project](project).VariableSetID, in)
}

func (a *area) writeSet(c *api.Call, id string, in VariableSet) (VariableSet, error) {
	set, err := a.docs.PutVariables(c.Context(), c.Caller, c.Space, id, documentOf(in))
	if err != nil {
		return VariableSet{}, err
	}
	return setOf(set), nil
}

func (a *area) allVariables(c *api.Call) ([]VariableSet, error) {
	sets, err := a.docs.AllVariables(c.Context(), c.Caller, c.Space, c.List("ids"))
	out := []VariableSet{}
	for _, set := range sets {
		out = append(out, setOf(set))
	}
	return out, err
}

func (a *area) variableNames(c *api.Call) ([]string, error) {
	return a.docs.VariableNames(c.Context(), c.Caller, c.Space, c.Text("project"))
}

func (a *area) previewVariables(c *api.Call) (VariableSet, error) {
	if c.Text("project") == "" {
		return VariableSet{}, resource.Errorf(resource.Invalid, "Please say which project to preview: project=Projects-1.")
	}
	set, err := a.docs.Preview(c.Context(), c.Caller, c.Space, documents.PreviewContext{
		Project: c.Text("project"), Environment: c.Text("environment"), Channel: c.Text("channel"), Tenant: c.Text("tenant"),
		Action: c.Text("action"), Machine: c.Text("machine"), Role: c.Text("role"),
	})
	if err != nil {
		return VariableSet{}, err
	}
	return setOf(set), nil
}
