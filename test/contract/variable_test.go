package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/variables"
)

// TestVariables: the SDK reads the set, edits it and writes it whole; a secret
// that it could not read must survive that (octopus-api.md 1.8, 2.7).
func TestVariables(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newShop(t, s)
	greeting := variables.NewVariable("Greeting")
	greeting.Value = "hello"
	set, err := variables.AddSingle(p.c, "Spaces-1", p.project.ID, greeting)
	ok(t, err)
	scoped := variables.NewVariable("Greeting")
	scoped.Value, scoped.Scope.Environments = "welcome", []string{p.production.ID}
	set, err = variables.AddSingle(p.c, "Spaces-1", p.project.ID, scoped)
	ok(t, err)
	secret := variables.NewVariable("Password")
	secret.Value, secret.IsSensitive, secret.Type = "pa55word", true, "Sensitive"
	set, err = variables.AddSingle(p.c, "Spaces-1", p.project.ID, secret)
	ok(t, err)
	same(t, "version after three writes", set.Version, int32(3))
	path := "/api/Spaces-1/variables/" + p.project.VariableSetID
	raw := s.ask(t, http.MethodGet, path, "")
	if strings.Contains(raw.body, "pa55word") {
		t.Error("the set shows a secret")
	}
	for _, v := range raw.object(t)["Variables"].([]any) {
		one := v.(map[string]any)
		if one["Id"] == "" {
			t.Errorf("variable %s has no id", one["Name"])
		}
		if value, has := one["Value"]; one["Name"] == "Password" && (!has || value != nil) {
			t.Errorf("a secret reads %v", value)
		}
		if one["Name"] == "Password" && len(one["Scope"].(map[string]any)) != 0 {
			t.Errorf("an empty scope has keys: %v", one["Scope"])
		}
	}
	values := set.ScopeValues
	if values == nil || len(values.Environments) != 2 || values.Environments[0].Name != "Staging" {
		t.Errorf("scope values: %+v", values)
	}
	found, err := variables.GetByName(p.c, "Spaces-1", p.project.ID, "Greeting", &variables.VariableScope{Environments: []string{p.production.ID}})
	ok(t, err)
	if len(found) != 1 || found[0].Value != "welcome" {
		t.Errorf("by scope: %+v", found)
	}
	// The secret is there after a change of another variable: a release made of
	// the set has it. What is in it shows only in a deployment (TestRollout).
	greeting.ID = set.Variables[0].ID
	greeting.Value = "good day"
	_, err = variables.UpdateSingle(p.c, "Spaces-1", p.project.ID, greeting)
	ok(t, err)

	stale, err := variables.GetAll(p.c, "Spaces-1", p.project.ID)
	ok(t, err)
	_, err = variables.Update(p.c, "Spaces-1", p.project.ID, stale)
	ok(t, err)
	if _, err = variables.Update(p.c, "Spaces-1", p.project.ID, stale); err == nil {
		t.Error("a stale set was written over a newer one")
	}
	_, err = variables.GetAll(p.c, "Spaces-1", "Projects-404")
	refused(t, err, http.StatusNotFound)

	library := variables.NewLibraryVariableSet("Shared")
	shared, err := p.c.LibraryVariableSets.Add(library)
	ok(t, err)
	same(t, "the library's set", shared.VariableSetID, "variableset-"+shared.ID)
	_, err = variables.AddSingle(p.c, "Spaces-1", shared.ID, variables.NewVariable("Colour"))
	ok(t, err)
	_, err = variables.DeleteSingle(p.c, "Spaces-1", p.project.ID, greeting.ID)
	ok(t, err)
	after, err := variables.GetAll(p.c, "Spaces-1", p.project.ID)
	ok(t, err)
	same(t, "variables left", len(after.Variables), 2)
}
