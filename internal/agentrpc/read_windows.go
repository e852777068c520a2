package agentrpc

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// readPatience is how long readFile goes on.
const readPatience = 2 * time.Second

// readFile reads a file that another process may be making at this moment: as
// long as that removes its own name of it, Windows lets nobody open it.
func readFile(path string) ([]byte, error) {
	over := time.NewTimer(readPatience)
	defer over.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(path)
		if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			return text, err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return nil, err
		}
	}
}
