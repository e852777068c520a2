package resource_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
)

// No way of printing shows a secret (abuse 73).
func TestSensitiveNeverShows(t *testing.T) {
	t.Parallel()
	secret := resource.Plain("hunter2")
	text, err := json.Marshal(map[string]any{"A": secret, "B": resource.Sealed([]byte("hunter2")), "C": resource.Properties{"P": resource.Secret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(text) + fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret) + secret.LogValue().String()
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, "aHVudGVyMg") {
		t.Errorf("the secret shows: %s", shown)
	}
}

// The wire form sets, keeps and clears (octopus-api.md 1.8).
func TestSensitiveWire(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]resource.Sensitive{
		`{"HasValue":true,"NewValue":"x"}`:  resource.Plain("x"),
		`{"NewValue":""}`:                   resource.Plain(""),
		`{"hasValue":true}`:                 resource.Kept(),
		`{"HasValue":true,"NewValue":null}`: resource.Kept(),
		`{"HasValue":false}`:                {},
		`null`:                              {},
	} {
		got := resource.Plain("before")
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s: %#v, %v", in, got, err)
		}
	}
	var s resource.Sensitive
	if err := json.Unmarshal([]byte(`"open"`), &s); resource.CodeOf(err) != resource.Invalid {
		t.Errorf("a bare text: %v", err)
	}
}

func TestPropertiesForms(t *testing.T) {
	t.Parallel()
	var p resource.Properties
	in := `{"A":"text","B":null,"C":true,"D":5,"E":{"HasValue":true,"NewValue":"s"},"F":""}`
	if err := json.Unmarshal([]byte(in), &p); err != nil {
		t.Fatal(err)
	}
	if _, ok := p["B"]; ok {
		t.Error("a null stayed: clients read it as a secret")
	}
	if p.Get("A") != "text" || p.Get("C") != "True" || p.Get("D") != "5" || p.Get("E") != "" {
		t.Errorf("properties: %v", p)
	}
	seen := map[string]string{}
	p.EachSecret("x/", func(field string, s *resource.Sensitive) {
		seen[field], _ = s.Reveal()
		*s = resource.Sealed([]byte("box"))
	})
	if len(seen) != 1 || seen["x/E"] != "s" {
		t.Errorf("secrets: %v", seen)
	}
	if box, ok := p["E"].Secret.Box(); !ok || string(box) != "box" {
		t.Error("the visit did not change the property")
	}
	if out, _ := json.Marshal(resource.Properties(nil)); string(out) != "{}" {
		t.Errorf("no properties are %s", out)
	}
	for _, bad := range []string{`[]`, `{"A":[1]}`, `"x"`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
