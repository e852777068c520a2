package agent

import (
	"os"
	"os/signal"
)

// shimSignals keeps console events away from the shim: Ctrl+C is how its
// scripts are asked to end, and reaches all on its console.
func shimSignals() { signal.Notify(make(chan os.Signal, 1), os.Interrupt) }
