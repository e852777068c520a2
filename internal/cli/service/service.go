// Package service makes the server start with the machine: as a systemd unit on
// Linux, as a service on Windows. Package agent does the same for the agent.
package service

import (
	"fmt"
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

// unit is the systemd unit of a service. KillMode=process: stopping or
// upgrading the server must not end the scripts of its worker (P2).
func unit(s *Spec) string {
	words := make([]string, 0, len(s.Args)+1)
	for _, word := range append([]string{s.Program}, s.Args...) {
		words = append(words, quote(word))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\nAfter=network-online.target\nWants=network-online.target\n\n", strings.ReplaceAll(s.Description, "%", "%%"))
	fmt.Fprintf(&b, "[Service]\nExecStart=%s\nRestart=always\nRestartSec=2\nKillMode=process\nLimitNOFILE=65536\nLimitCORE=0\n", strings.Join(words, " "))
	for _, pair := range s.Env {
		fmt.Fprintf(&b, "Environment=%s\n", quote(pair))
	}
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// quote writes a word as systemd reads it: quoted, with specifiers and
// variables taken literally.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`
}
