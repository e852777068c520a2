// Package service makes the server start with the machine: as a systemd unit on
// Linux, as a service on Windows. Package agent does the same for the agent.
package service

import (
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Spec is a service to be installed.
type Spec struct {
	// Name is the service's own, e.g. "slipway-agent".
	Name        string
	Description string
	// Program and Args are what it runs; Program is an absolute path.
	Program string
	Args    []string
	// Env are settings that are no secrets, as KEY=value.
	Env []string
	// Ports are opened in the machine's firewall, where asked.
	Ports []int
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func (s *Spec) validate() error {
	if len(s.Name) > 80 || !serviceName.MatchString(s.Name) {
		return resource.Errorf(resource.Invalid, "%q is no name for a service; use letters, digits, dots and dashes.", s.Name)
	}
	for _, text := range append([]string{s.Program, s.Description}, append(s.Args, s.Env...)...) {
		if strings.ContainsAny(text, "\n\r\x00") {
			return resource.Errorf(resource.Invalid, "%q cannot be part of a service: it holds a line break.", text)
		}
	}
	return nil
}
