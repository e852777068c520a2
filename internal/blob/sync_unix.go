//go:build unix

package blob

import "os"

// syncDir makes a rename in the folder survive a power loss.
func syncDir(f *os.File) error { return f.Sync() }
