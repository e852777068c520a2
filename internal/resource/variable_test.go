package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
)

func TestVariableSetWalksItsSecretsByVariableID(t *testing.T) {
	t.Parallel()
	set := resource.VariableSet{Variables: []resource.Variable{
		{ID: "a", Name: "Open", Value: "1"},
		{ID: "b", Name: "Shut", IsSensitive: true, Secret: resource.Plain("hush")},
	}}
	var fields []string
	set.EachSecret(func(field string, secret *resource.Sensitive) {
		fields = append(fields, field)
		if secret.HasValue() {
			*secret = resource.Sealed([]byte("box"))
		}
	})
	if got := strings.Join(fields, " "); got != "Variables/a Variables/b" {
		t.Errorf("walked %q", got)
	}
	if _, sealed := set.Variables[1].Secret.Box(); !sealed {
		t.Error("the walk does not reach the set's own secret")
	}
}

func TestVariableJSONNeverCarriesTheSecret(t *testing.T) {
	t.Parallel()
	out, err := json.Marshal(resource.Variable{
		ID: "b", Name: "Shut", Type: resource.TypeSensitive, IsSensitive: true, Secret: resource.Plain("hush"),
		Scope: resource.VariableScope{Role: []string{"web"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Id":"b","Name":"Shut","Value":"","Type":"Sensitive","IsSensitive":true,"IsEditable":false,"Prompt":null,"Scope":{"Role":["web"]}}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}

func TestVariableSetValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		variables []resource.Variable
		code      resource.Code
	}{
		"one name twice":       {[]resource.Variable{{ID: "1", Name: "A"}, {ID: "2", Name: "A"}, {Name: "A"}, {Name: "A"}}, ""},
		"one id twice":         {[]resource.Variable{{ID: "1", Name: "A"}, {ID: "1", Name: "B"}}, resource.Conflict},
		"no name":              {[]resource.Variable{{Name: " "}}, resource.Invalid},
		"long name":            {[]resource.Variable{{Name: strings.Repeat("n", resource.MaxVariableName+1)}}, resource.TooLarge},
		"line break in name":   {[]resource.Variable{{Name: "a\nb"}}, resource.Invalid},
		"bidi override":        {[]resource.Variable{{Name: "a\u202eb"}}, resource.Invalid}, // abuse 59
		"bad UTF-8 value":      {[]resource.Variable{{Name: "a", Value: "\xff"}}, resource.Invalid},
		"large value":          {[]resource.Variable{{Name: "a", Value: strings.Repeat("v", resource.MaxVariableValue+1)}}, resource.TooLarge},
		"secret in the open":   {[]resource.Variable{{Name: "a", Type: resource.TypeSensitive, Value: "x"}}, resource.Invalid},
		"secret on a plain":    {[]resource.Variable{{Name: "a", Secret: resource.Plain("x")}}, resource.Invalid},
		"secret where it goes": {[]resource.Variable{{Name: "a", IsSensitive: true, Secret: resource.Plain("x")}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := resource.VariableSet{Variables: c.variables}
			if got := resource.CodeOf(set.Validate()); got != c.code {
				t.Errorf("code %q, want %q", got, c.code)
			}
		})
	}
}
