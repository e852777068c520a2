package server_test

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/server"
)

// Finished logs lie in the blob store; one that is not there is told apart from
// a store that fails, because a reader looks again for the one that replaced it.
func TestLogBlobs(t *testing.T) {
	t.Parallel()
	disk, err := blob.OpenDisk(t.TempDir())
	check(t, err)
	logs := server.LogBlobs(disk)
	key, err := logs.Keep(t.Context(), strings.NewReader("a log"))
	check(t, err)
	kept, err := logs.Open(t.Context(), key)
	check(t, err)
	got := make([]byte, kept.Size())
	if _, err := kept.ReadAt(got, 0); string(got) != "a log" || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("%q %v", got, err)
	}
	check(t, kept.Close())
	check(t, disk.Delete(t.Context(), key))
	if _, err := logs.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	check(t, disk.Close())
	if _, err := logs.Open(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
