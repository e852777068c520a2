package kind

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/client"
)

// phases shows a lifecycle as "Test > Staging > Production".
func phases(doc client.Document, names Names) string {
	var list []struct {
		Name                       string
		AutomaticDeploymentTargets json.RawMessage
		OptionalDeploymentTargets  json.RawMessage
	}
	if json.Unmarshal(doc["Phases"], &list) != nil || len(list) == 0 {
		return "(every environment in order)"
	}
	parts := make([]string, len(list))
	for i, phase := range list {
		targets := append(names.of(phase.AutomaticDeploymentTargets), names.of(phase.OptionalDeploymentTargets)...)
		if parts[i] = phase.Name; strings.Join(targets, "") != phase.Name && len(targets) > 0 {
			parts[i] += " (" + strings.Join(targets, ", ") + ")"
		}
	}
	return strings.Join(parts, " > ")
}

// style shows how the server reaches a machine.
func style(doc client.Document, _ Names) string {
	var endpoint struct{ CommunicationStyle string }
	if json.Unmarshal(doc["Endpoint"], &endpoint) != nil {
		return ""
	}
	switch endpoint.CommunicationStyle {
	case "TentaclePassive":
		return "listening"
	case "TentacleActive":
		return "polling"
	}
	return endpoint.CommunicationStyle
}

// bytesOf shows a field that is a number of bytes.
func bytesOf(field string) func(client.Document, Names) string {
	return func(doc client.Document, _ Names) string {
		var n float64
		if json.Unmarshal(doc[field], &n) != nil {
			return ""
		}
		return Bytes(int64(n))
	}
}

// Bytes shows a number of bytes for people.
func Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	value, unit := float64(n), 0
	for value >= 1000 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// selected shows the package versions of a release.
func selected(doc client.Document, _ Names) string {
	var list []struct{ ActionName, Version string }
	if json.Unmarshal(doc["SelectedPackages"], &list) != nil {
		return ""
	}
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = p.ActionName + " " + p.Version
	}
	return strings.Join(parts, ", ")
}
