//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a disk of that size, such as "80m", or skips the story.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Skipf("needs a small disk, and mounting one is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// free is how many bytes are free on a disk.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Bavail) * stat.Bsize
}

// fill takes the disk's space up to that rest and returns how to give it back.
func fill(t *testing.T, dir string, rest int64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<16)
	for free(t, dir) > rest {
		n := min(int64(len(block)), free(t, dir)-rest)
		if _, err := file.Write(block[:n]); err != nil {
			break // full
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// says waits until a task's log has the words.
func (s *stage) says(task, words string) {
	s.t.Helper()
	eventually(s.t, "the log of "+task+" says "+words, func() bool { return strings.Contains(s.logOf(task), words) })
}

// A machine whose disk is full starts nothing, keeps nothing of a package, and
// says so; once there is room the deployment goes on by itself (fault 19).
func TestMachinesDiskIsFullBefore(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.newMachine("m")
	smallDisk(t, m.home, "100m")
	m.register()
	m.start()
	m.healthy()
	s.push("1.0.0", map[string]string{"a.bin": random(4 << 20)})
	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), s.mark("starts"), nil)))
	s.release("1.0.0")
	empty := fill(t, m.home, 66<<20) // 64 MiB are kept for the journal
	task := s.deploy("1.0.0")
	s.says(task, "disk full")
	if left := files(t, filepath.Join(m.home, "packages")); len(left) != 0 {
		t.Errorf("of the package are left %v", left)
	}
	if starts := s.lines("starts"); len(starts) != 0 {
		t.Errorf("scripts ran: %v", starts)
	}
	empty()
	s.finish(task, "Success")

	s.steps(step("Say", "web", "", script("Say", s.mark("said"))))
	s.release("2.0.0")
	empty = fill(t, m.home, 0) // not even a record of the attempt fits
	task = s.deploy("2.0.0")
	s.says(task, "disk full: free space")
	empty()
	s.finish(task, "Success")
	if starts, said := s.lines("starts"), s.lines("said"); len(starts) != 1 || len(said) != 1 {
		t.Errorf("starts %v, said %v", starts, said)
	}
}

// A script that fills its machine's disk runs to its end: the log ends with a
// marker, and how the script ended is recorded in space kept for that
// (fault 20).
func TestMachinesDiskIsFullDuring(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.newMachine("m")
	smallDisk(t, m.home, "100m")
	m.register()
	m.start()
	m.healthy()
	filler := filepath.Join(m.home, "filler")
	talk := "echo before\nhead -c 200000000 /dev/zero > '" + filler + "' || true\nhead -c 3000000 /dev/zero | tr '\\0' x | fold -w 100\necho; echo after\n"
	s.steps(step("Fill", "web", "", script("Fill", talk+s.mark("ended"))))
	task, log := s.ship("1.0.0", "Success")
	contains(t, "the log", log, "before", "disk is full")
	if strings.Contains(log, "| after") || !task.HasWarningsOrErrors {
		t.Errorf("the log is whole, or nothing warns:\n%s", log)
	}
	s.steps(step("Fill", "web", "", script("Fill", talk+s.mark("ended")+"exit 7\n")))
	_, log = s.ship("2.0.0", "Failed")
	contains(t, "the log", log, "7")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.steps(step("Say", "web", "", script("Say", "echo room again\n"+s.mark("ended"))))
	_, log = s.ship("3.0.0", "Success")
	contains(t, "the log", log, "room again")
	if ended := s.lines("ended"); len(ended) != 3 {
		t.Errorf("ended %v", ended)
	}
}

// A server whose disk is full refuses writes with a clear sentence and still
// reads; a script that runs goes on and its agent keeps the result; when there
// is room again everything goes on without a restart (fault 21).
func TestServersDiskIsFull(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t, func(s *server) { smallDisk(t, s.data, "64m") }))
	s.machine("m")
	s.steps(
		step("Wait", "web", "", script("Wait", s.mark("starts")+s.until("go")+"head -c 2000000 /dev/zero | tr '\\0' x | fold -w 100; echo\n"+s.mark("ended"))),
		step("Later", "web", "", script("Later", s.mark("later"))))
	s.release("1.0.0")
	task := s.deploy("1.0.0")
	s.appears("starts")
	empty := fill(t, s.data, 0)
	var r result
	n := 0 // what the database has taken before may hold a few more writes
	eventually(t, "writes are refused", func() bool {
		n++
		r = s.cli(t, "environment", "create", fmt.Sprint(s.name, "-", n))
		return r.code != 0
	})
	contains(t, "the refusal", r.stderr, "disk", "full")
	s.must(t, "project", "list")
	s.touch("go")
	s.appears("ended")
	if now, err := s.client.Task(t.Context(), task); err != nil || now.State != "Executing" {
		t.Errorf("with a full disk the task is %s, %v", now.State, err)
	}
	if later := s.lines("later"); len(later) != 0 {
		t.Errorf("with a full disk another step began: %v", later)
	}
	empty()
	s.finish(task, "Success")
	if n = strings.Count(s.logOf(task), "x\n"); n != 20000 {
		t.Errorf("the log has %d of 20000 lines", n)
	}
	if starts, ended, later := s.lines("starts"), s.lines("ended"), s.lines("later"); len(starts) != 1 || len(ended) != 1 || len(later) != 1 {
		t.Errorf("starts %v, ended %v, later %v", starts, ended, later)
	}
	if s.process.ended() {
		t.Error("the server ended")
	}
}
