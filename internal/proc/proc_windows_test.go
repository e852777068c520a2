package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/slipwayhq/slipway/internal/proc"
)

// TestMain makes this binary one of the processes that scripts start when its
// first argument names one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "polite":
			polite(os.Args[2])
		case "stubborn":
			signal.Ignore(os.Interrupt)
			stay(os.Args[2])
		case "leaver":
			leaver(os.Args[2])
		case "keeper":
			keeper(os.Args[2])
		}
	}
	os.Exit(m.Run())
}

// say appends this process's pid to the file, in one write.
func say(file string) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func stay(file string) {
	say(file)
	<-time.After(time.Hour)
}

func polite(file string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt)
	say(file)
	<-asked
	_ = os.WriteFile(file+".bye", nil, 0o600)
	os.Exit(3)
}

// leaver starts one process that wants to leave the job object, or, where that
// is refused, one with a group and a console of its own; and ends.
func leaver(file string) {
	start := func(flags uint32) error {
		cmd := exec.Command(os.Args[0], "stubborn", file)
		cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: flags | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW}
		return cmd.Start()
	}
	err := start(windows.CREATE_BREAKAWAY_FROM_JOB)
	if err != nil {
		err = start(0)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keeper runs a polite process until its input ends, then cancels it with a
// minute's grace, and ends with its exit code.
func keeper(file string) {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	if err := proc.AdoptOrphans(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(&proc.Stop{Grace: time.Minute, Reason: "canceled"})
	}()
	code, _ := (&proc.Runner{Options: proc.Options{Sole: true}, Grace: time.Nanosecond}).Run(ctx, exec.Command(os.Args[0], "polite", file))
	os.Exit(code)
}

// cmdScript is a batch file in a new folder.
func cmdScript(t *testing.T, lines ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.cmd")
	if err := os.WriteFile(file, []byte("@echo off\r\n"+strings.Join(lines, "\r\n")+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command("cmd", "/d", "/c", file)
}

// self is this binary as a script names it.
func self(role, file string) string { return fmt.Sprintf(`"%s" %s "%s"`, os.Args[0], role, file) }

// wait polls until the condition holds.
func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// pids waits for that many live processes that said their pids in the file.
func pids(t *testing.T, path string, want int) []proc.Ref {
	t.Helper()
	var refs []proc.Ref
	wait(t, fmt.Sprintf("%d pids in %s", want, path), func() bool {
		refs = nil
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil || !strings.HasSuffix(line, "\n") {
				return false
			}
			ref, err := proc.Find(pid)
			if err != nil {
				return false
			}
			refs = append(refs, ref)
		}
		return len(refs) >= want
	})
	return refs
}

func alive(t *testing.T, ref proc.Ref) bool {
	t.Helper()
	ok, err := proc.Alive(ref)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{"rem": 0, "exit /b 7": 7, "exit 3": 3, "cmd /d /c exit 300": 300, "exit -1": 0xffffffff} {
		r := &proc.Runner{}
		if code, err := r.Run(t.Context(), cmdScript(t, line)); code != want || err != nil {
			t.Errorf("%s: code %d, %v; want %d", line, code, err, want)
		}
	}
	if _, err := (&proc.Runner{}).Run(t.Context(), exec.Command(`C:\no\such\program.exe`)); err == nil {
		t.Error("a program that does not exist was run")
	}
}

// All that a script printed before its end is there, from both streams.
func TestOutput(t *testing.T) {
	t.Parallel()
	cmd := cmdScript(t, "for /l %%i in (1,1,500) do echo line %%i", "echo oops 1>&2", "echo end")
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	if code, err := new(proc.Runner).Run(t.Context(), cmd); code != 0 || err != nil {
		t.Fatalf("code %d, %v", code, err)
	}
	if text := out.String(); !strings.HasPrefix(text, "line 1\r\nline 2\r\n") || !strings.HasSuffix(text, "line 500\r\nend\r\n") {
		t.Errorf("%d bytes, which end with %q", len(text), text[max(0, len(text)-30):])
	}
	if text := err.String(); strings.TrimSpace(text) != "oops" {
		t.Errorf("error output %q", text)
	}
}

// fault 38: children that ignore the request to end, that have a group and a
// console of their own, whose parents have ended, or that ask to leave the job
// object, are gone all the same.
func TestStubbornTreeIsKilled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := &proc.Runner{Grace: 50 * time.Millisecond}
	done := make(chan error, 1)
	go func() {
		_, err := r.Run(ctx, cmdScript(t,
			self("leaver", file),
			`start "" /b cmd /d /c `+self("stubborn", file), // a grandchild
			`start "" /b `+self("stubborn", file),
			self("stubborn", file)))
		done <- err
	}()
	refs := pids(t, file, 4)
	why := errors.New("a person canceled")
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("run ended with %v", err)
	}
	if left := r.Left(); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	for _, ref := range refs {
		if alive(t, ref) {
			t.Errorf("%v lives", ref)
		}
	}
}

// fault 38: who ends by itself within the grace is not killed. The runner is in a
// detached process, as a shim is: that has a console to ask by.
func TestPoliteEndComesFirst(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := exec.Command(os.Args[0], "keeper", file)
	proc.Detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids(t, file, 1)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d, want the program's own", code)
	}
	if _, err := os.Stat(file + ".bye"); err != nil {
		t.Error("the program was not asked to end")
	}
}

// A script may start a daemon: a normal end leaves it, and does not wait for
// the output that it holds open.
func TestDaemonOutlivesNormalEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := cmdScript(t, `start "" /b `+self("stubborn", file), "echo started")
	out := new(strings.Builder)
	cmd.Stdout, cmd.WaitDelay = out, 10*time.Millisecond
	if code, err := new(proc.Runner).Run(t.Context(), cmd); code != 0 || err != nil {
		t.Fatalf("code %d, %v", code, err)
	}
	daemon := pids(t, file, 1)[0]
	if !alive(t, daemon) || strings.TrimSpace(out.String()) != "started" {
		t.Errorf("the daemon was ended with the script, or output was lost: %q", out)
	}
	end(t, daemon)
}

// end kills a process of the test's own.
func end(t *testing.T, ref proc.Ref) {
	t.Helper()
	p, err := os.FindProcess(ref.PID)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
	_ = p.Release()
	wait(t, "the killed process is gone", func() bool { return !alive(t, ref) })
}

// fault 12, 14: another start or another boot is another process; one that has
// ended is not alive although somebody still holds it.
func TestStrangerIsNotAlive(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := exec.Command(os.Args[0], "stubborn", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ref := pids(t, file, 1)[0]
	if !alive(t, ref) || ref.PID != cmd.Process.Pid || ref.Boot == "" || ref.Start == 0 {
		t.Errorf("a live process is not alive: %v", ref)
	}
	again, err := proc.Find(ref.PID)
	if err != nil || again != ref {
		t.Errorf("found as %v and then as %v, %v", ref, again, err)
	}
	for name, stranger := range map[string]proc.Ref{
		"other start": {PID: ref.PID, Start: ref.Start - 1, Boot: ref.Boot},
		"other boot":  {PID: ref.PID, Start: ref.Start, Boot: "other"},
		"no process":  {PID: 1 << 30, Start: ref.Start, Boot: ref.Boot},
	} {
		if alive(t, stranger) {
			t.Errorf("%s: alive", name)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "a killed process that nobody waited for is not alive", func() bool { return !alive(t, ref) })
	_ = cmd.Wait()
	if alive(t, ref) {
		t.Error("alive after its end")
	}
}

// Every process of one run of the system has the same boot id.
func TestBootIDIsThatOfTheSystem(t *testing.T) {
	t.Parallel()
	here, err := proc.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		file := filepath.Join(t.TempDir(), "pids")
		cmd := exec.Command(os.Args[0], "stubborn", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if ref := pids(t, file, 1)[0]; ref.Boot != here {
			t.Errorf("boot %s, and %s for another process", here, ref.Boot)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
