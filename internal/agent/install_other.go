//go:build !windows

package agent

import "context"

// RunService runs the agent under Windows' service manager; elsewhere it does
// nothing and ran is false.
func RunService(context.Context, string, func(context.Context) error) (ran bool, err error) {
	return false, nil
}
