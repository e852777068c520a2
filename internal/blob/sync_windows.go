package blob

import "os"

// syncDir does nothing: Windows has no fsync of a folder; NTFS journals the
// rename itself.
func syncDir(*os.File) error { return nil }
