package resource

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// The communication styles that Slipway reaches machines by. Others are kept
// as they are sent and never get work.
const (
	StylePassive = "TentaclePassive" // the server dials a listening agent
	StyleActive  = "TentacleActive"  // the agent dials the server and polls
	StyleNone    = "None"            // a target without a machine behind it
)

var styles = []string{
	StylePassive, StyleActive, StyleNone, "Ssh", "OfflineDrop", "Kubernetes", "KubernetesTentacle", "AzureWebApp",
	"AzureCloudService", "AzureServiceFabricCluster", "AwsEcsCluster", "StepPackage", "Ftp",
}

const endpointPassword = "SensitiveVariablesEncryptionPassword"

// Endpoint is how a machine is reached. Its JSON is one of many shapes by
// CommunicationStyle; members this struct does not name are kept as they are.
type Endpoint struct {
	CommunicationStyle string
	URI                string    // "https://host:10933/" or "poll://subscription/"
	Thumbprint         string    // pin of the agent's certificate: SHA-256, upper-case hex
	Password           Sensitive // SensitiveVariablesEncryptionPassword of OfflineDrop
	// Members are all others by their name.
	Members map[string]json.RawMessage
}

// Polling says that the agent dials the server.
func (e *Endpoint) Polling() bool { return e.CommunicationStyle == StyleActive }

// Listening says that the server dials the agent.
func (e *Endpoint) Listening() bool { return e.CommunicationStyle == StylePassive }

// Reachable says that an agent of Slipway's answers there.
func (e *Endpoint) Reachable() bool { return e.Polling() || e.Listening() }

// Member is a text member that the struct does not name; "" when it is absent
// or no text.
func (e *Endpoint) Member(name string) string {
	var text string
	if json.Unmarshal(e.Members[name], &text) != nil {
		return ""
	}
	return text
}

// MarshalJSON writes all members.
func (e Endpoint) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(e.Members)+4)
	for name, value := range e.Members {
		out[name] = value
	}
	out["CommunicationStyle"] = e.CommunicationStyle
	if e.URI != "" {
		out["Uri"] = e.URI
	}
	if e.Thumbprint != "" {
		out["Thumbprint"] = e.Thumbprint
	}
	if e.Password.HasValue() {
		out[endpointPassword] = e.Password
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads any shape; names are matched in any case.
func (e *Endpoint) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Errorf(Invalid, "Endpoint has to be an object with a CommunicationStyle.")
	}
	*e = Endpoint{Members: map[string]json.RawMessage{}}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		known, target := e.named(name)
		if target == nil {
			e.Members[name] = raw[name]
			continue
		}
		if err := json.Unmarshal(raw[name], target); err != nil {
			return invalid("Endpoint", "%s of the endpoint has the wrong form. Please send a text.", name)
		}
		if known == "Uri" || known == "Thumbprint" {
			e.Members[known] = raw[name] // so that null and "" go back as they came
		}
	}
	if e.URI != "" {
		delete(e.Members, "Uri")
	}
	if e.Thumbprint != "" {
		delete(e.Members, "Thumbprint")
	}
	delete(e.Members, "Links")
	return nil
}

// named is a member of the struct by its name in any case; nil when it has
// none.
func (e *Endpoint) named(name string) (known string, target any) {
	for known, target := range map[string]any{
		"CommunicationStyle": &e.CommunicationStyle, "Uri": &e.URI, "Thumbprint": &e.Thumbprint, endpointPassword: &e.Password,
	} {
		if strings.EqualFold(known, name) {
			return known, target
		}
	}
	return "", nil
}

// setDefaults adds what clients need to find at a tentacle (octopus-api.md
// 2.15).
func (e *Endpoint) setDefaults() {
	if !e.Reachable() {
		return
	}
	if e.Members == nil {
		e.Members = map[string]json.RawMessage{}
	}
	if v, ok := e.Members["TentacleVersionDetails"]; !ok || string(v) == "null" {
		e.Members["TentacleVersionDetails"] = json.RawMessage(`{"UpgradeLocked":false,"UpgradeRequired":false,"UpgradeSuggested":false,"Version":null}`)
	}
}

func (e *Endpoint) validate() error {
	if err := oneOf("Endpoint.CommunicationStyle", e.CommunicationStyle, styles...); err != nil {
		return err
	}
	if !e.Reachable() {
		return nil
	}
	scheme := "https"
	if e.Polling() {
		scheme = "poll"
	}
	u, err := url.Parse(e.URI)
	if err != nil || !strings.EqualFold(u.Scheme, scheme) || u.Host == "" || u.User != nil {
		return invalid("Endpoint.Uri", "The endpoint's Uri '%.200s' cannot be used. Write it like https://host:10933/ for a listening agent, or poll://subscription/ for a polling one.", e.URI)
	}
	if strings.TrimSpace(e.Thumbprint) == "" {
		return invalid("Endpoint.Thumbprint", "Please give the endpoint the thumbprint that the agent shows.")
	}
	if len(e.Thumbprint) > 200 || !printable(e.Thumbprint) {
		return invalid("Endpoint.Thumbprint", "The endpoint's thumbprint cannot be one. Please copy it from the agent.")
	}
	return nil
}
