//go:build !linux && !windows

package service

import (
	"context"
	"errors"
)

var errUnsupported = errors.New("services are installed on Linux with systemd and on Windows; here, start it by what starts your other services")

// Install says that it cannot.
func Install(_ context.Context, s *Spec, _ bool) error {
	if err := s.validate(); err != nil {
		return err
	}
	return errUnsupported
}

// Uninstall says that it cannot.
func Uninstall(context.Context, string) error { return errUnsupported }
