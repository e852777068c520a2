package server

import (
	"os"
	"path/filepath"
)

// systemData is where a server keeps its data.
func systemData() string {
	if dir := os.Getenv("ProgramData"); dir != "" {
		return filepath.Join(dir, "Slipway", "server")
	}
	return ""
}
