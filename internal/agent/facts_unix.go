//go:build unix

package agent

import "golang.org/x/sys/unix"

// freeDisk is what an ordinary user could still write at the path, -1 if that
// cannot be found out.
func freeDisk(path string) int64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return -1
	}
	return int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert // 32 bits wide on macOS
}
