package contract_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/core"
)

// answer is a response as it was on the wire.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request past the SDK, for what the SDK hides.
func (s *instance) ask(t *testing.T, method, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Octopus-ApiKey", adminKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

// object reads the answer as a JSON object.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		t.Fatalf("status %d is no JSON object: %v\n%s", a.status, err, a.body)
	}
	return object
}

// ok fails the test on an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails the test unless the two are deeply equal.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// refused demands a typed error of the SDK with the status, and that it says
// something. A 404 must not have Errors: with them, the SDK's older layer
// returns an untyped error and the Terraform provider keeps what is gone
// (octopus-api.md 1.7).
func refused(t *testing.T, err error, status int) *core.APIError {
	t.Helper()
	typed, ok := errors.AsType[*core.APIError](err)
	if !ok {
		t.Fatalf("want a *core.APIError with status %d, got %T: %v", status, err, err)
	}
	if typed.StatusCode != status && typed.StatusCode != 0 { // uploads leave it out
		t.Fatalf("status %d, want %d: %v", typed.StatusCode, status, err)
	}
	if typed.ErrorMessage == "" {
		t.Fatalf("status %d without a message", typed.StatusCode)
	}
	if status == http.StatusNotFound && typed.Errors != nil {
		t.Fatalf("a 404 has Errors: %q", typed.Errors)
	}
	return typed
}
