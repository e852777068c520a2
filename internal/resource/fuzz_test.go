package resource_test

import (
	"encoding/json"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
)

// FuzzDocuments gives every kind any JSON: nothing panics, and what has been
// decoded, filled in and encoded once stays the same byte for byte, as the
// POST's answer and the later GET have to (octopus-api.md 1.5).
func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{
		`{"Name":"A","Roles":["a",null],"Endpoint":{"CommunicationStyle":"TentaclePassive","Uri":"https://h:1/","Thumbprint":"A","thumbprint":null}}`,
		`{"Steps":[{"Name":"S","Properties":{"a":null,"b":1e9,"c":{"HasValue":true}},"Actions":[{"Packages":[{"Name":""}],"WorkerPoolId":""}]}]}`,
		`{"Phases":[{"ReleaseRetentionPolicy":{"ShouldKeepForever":true}}],"PersistenceSettings":null,"VersioningStrategy":{}}`,
		`{"Variables":[{"Name":"V","IsSensitive":true,"Scope":{"Role":["x"]}}],"PollingRequestQueueTimeout":"01.00:00:00","Expires":"2026-01-01T00:00:00Z"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range resource.Kinds() {
			doc := kind.New()
			if json.Unmarshal(data, doc) != nil {
				continue
			}
			first := settle(t, doc)
			again := kind.New()
			if err := json.Unmarshal(first, again); err != nil {
				t.Fatalf("%s: does not read %s: %v", kind.Name, first, err)
			}
			if second := settle(t, again); string(second) != string(first) {
				t.Errorf("%s: first %s, then %s", kind.Name, first, second)
			}
		}
	})
}

func settle(t *testing.T, doc resource.Doc) []byte {
	t.Helper()
	if d, ok := doc.(resource.Defaulter); ok {
		d.SetDefaults(ids())
	}
	_ = doc.Validate() // whatever it says, it must not panic
	if s, ok := doc.(resource.Secretive); ok {
		s.EachSecret(func(string, *resource.Sensitive) {})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatalf("%s: %v", doc.Kind().Name, err)
	}
	return text
}
