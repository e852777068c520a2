package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agent"
)

func TestFileDiskKeepsTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk, err := agent.OpenFileDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.OpenFileDisk(dir); !errors.Is(err, agent.ErrLocked) {
		t.Errorf("I1: two agents on one home: %v", err)
	}
	j := open(t, disk)
	must(t)(start(j, order("a", 1), []byte("job"), false))
	must(t)(j.Query(order("b", 1), true))
	if err := disk.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_WRONLY|os.O_APPEND, 0); err != nil {
		t.Fatal(err)
	} else if _, err := f.WriteString("\xf7SJ\x01torn"); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	for range 2 {
		// A process that another test forks holds the lock until its exec.
		wait(t, "the lock is free", func() bool {
			disk, err = agent.OpenFileDisk(dir)
			return !errors.Is(err, agent.ErrLocked)
		})
		if err != nil {
			t.Fatal(err)
		}
		j = open(t, disk)
		if j.Get("a").Phase != agent.Starting || j.Get("b").Phase != agent.Closed {
			t.Errorf("read back: %+v, %+v", j.Get("a"), j.Get("b"))
		}
		if err := disk.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"journal", "reserve", "lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if err := errors.Join(disk.Spend(), disk.Spend()); err != nil {
		t.Error(err)
	}
}

// wait polls until the condition holds.
func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
