//go:build unix

package server

import "os"

// systemData is where a server of the system keeps its data, "" for another
// user's.
func systemData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/slipway/server"
	}
	return ""
}
