package agent

import (
	"os"
	"os/signal"
)

// shimSignals keeps console events away from the shim: Ctrl+Break is how its
// scripts are asked to end.
func shimSignals() { signal.Notify(make(chan os.Signal, 1), os.Interrupt) }
