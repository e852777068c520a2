package proc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/proc"
)

// TestMain is the sole runner of a tree when the environment says so: adopting
// orphans changes the whole process.
func TestMain(m *testing.M) {
	if script := os.Getenv("PROC_TEST_SOLE"); script != "" {
		os.Exit(sole(script))
	}
	os.Exit(m.Run())
}

// sole runs the script in a sole tree without a cgroup, says READY once the
// script has, kills the tree when its input ends, and says who is left.
func sole(script string) int {
	if err := proc.AdoptOrphans(); err != nil {
		fmt.Println(err)
		return 1
	}
	cmd := exec.Command("bash", "-c", script)
	tree, err := proc.Start(cmd, proc.Options{Sole: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go func() { _, _ = tree.Wait() }()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	members, _ := tree.Members()
	left, err := tree.Kill(100 * time.Millisecond)
	fmt.Println(len(members), len(left), err)
	return 0
}

func bash(script string, args ...string) *exec.Cmd {
	return exec.Command("bash", append([]string{"-c", script, "bash"}, args...)...)
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

// pids reads the pids, one a line, that a script wrote.
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
	for script, want := range map[string]int{"true": 0, "exit 7": 7, "kill -9 $$": 137, "kill -TERM $$": 143} {
		r := &proc.Runner{}
		if code, err := r.Run(t.Context(), bash(script)); code != want || err != nil {
			t.Errorf("%s: code %d, %v; want %d", script, code, err, want)
		}
	}
	if _, err := (&proc.Runner{}).Run(t.Context(), exec.Command("/no/such/program")); err == nil {
		t.Error("a program that does not exist was run")
	}
}

// fault 38: children that ignore the polite signal and left the group are gone
// all the same, with and without a cgroup.
func TestStubbornTreeIsKilled(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "test-" + strconv.Itoa(os.Getpid())} {
		t.Run("cgroup "+name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			ctx, cancel := context.WithCancelCause(t.Context())
			r := &proc.Runner{Options: proc.Options{Name: name}, Grace: 50 * time.Millisecond}
			done := make(chan error, 1)
			go func() {
				_, err := r.Run(ctx, bash(`trap "" TERM; echo $$ >>$1
					(trap "" TERM; echo $BASHPID >>$1; while :; do sleep 1; done) &
					setsid bash -c 'trap "" TERM; echo $$ >>'$1'; while :; do sleep 1; done' &
					while :; do sleep 1; done`, file))
				done <- err
			}()
			refs := pids(t, file, 3)
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
		})
	}
}

func TestPoliteEndComesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan int, 1)
	go func() {
		code, _ := (&proc.Runner{Grace: time.Nanosecond}).Run(ctx, bash(`trap 'echo bye >$1/bye; exit 3' TERM
			echo $$ >$1/pids; while :; do sleep 0.05; done`, dir))
		done <- code
	}()
	pids(t, filepath.Join(dir, "pids"), 1)
	cancel(&proc.Stop{Grace: time.Minute, Reason: "canceled"})
	if code := <-done; code != 3 {
		t.Errorf("exit code %d, want the script's own", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "bye")); err != nil {
		t.Error("the script was not asked to end")
	}
}

// slow takes long for its first piece of output.
type slow struct {
	strings.Builder

	wait func()
}

func (w *slow) Write(p []byte) (int, error) {
	if w.wait != nil {
		w.wait()
		w.wait = nil
	}
	return w.Builder.Write(p)
}

// What a script printed before its end is all there, however slow who takes it
// is, and although something holds the pipe open and prints on.
func TestSlowWriterGetsAll(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]string{"nothing": "", "a silent daemon": "sleep 300 &", "a daemon that talks": "yes daemon &"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := bash(`cd $1; for i in {1..4000}; do echo line $i; done; echo end; `+left+` echo $! >pid; echo >bye`, dir)
			cmd.WaitDelay = 10 * time.Millisecond
			out := &slow{wait: func() {
				wait(t, "the script has ended", func() bool { _, err := os.Stat(filepath.Join(dir, "bye")); return err == nil })
				<-time.After(20 * cmd.WaitDelay) // the device is slow
			}}
			cmd.Stdout, cmd.Stderr = out, out
			code, err := new(proc.Runner).Run(t.Context(), cmd)
			if code != 0 || err != nil {
				t.Fatalf("code %d, %v", code, err)
			}
			if name == "a silent daemon" { // one that talks ends by itself: nobody listens
				proc.SignalRef(pids(t, filepath.Join(dir, "pid"), 1)[0], syscall.SIGKILL)
			}
			if text := out.String(); !strings.Contains(text, "line 4000\nend\n") {
				t.Errorf("it ends with %q", text[max(0, len(text)-30):])
			}
		})
	}
}

// A script may start a daemon: a normal end leaves it, does not wait for the
// output that it holds open, and its cgroup goes once it has ended.
func TestDaemonOutlivesNormalEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := bash(`sleep 300 & echo $! >$1`, file)
	cmd.Stdout = new(strings.Builder)
	cmd.WaitDelay = 10 * time.Millisecond
	name := fmt.Sprintf("test-daemon-%d", os.Getpid())
	groups := func() int {
		found, _ := filepath.Glob("/sys/fs/cgroup/*/slipway-" + name)
		more, _ := filepath.Glob("/sys/fs/cgroup/slipway-" + name)
		return len(found) + len(more)
	}
	if code, err := (&proc.Runner{Options: proc.Options{Name: name}}).Run(t.Context(), cmd); code != 0 || err != nil {
		t.Fatalf("code %d, %v", code, err)
	}
	daemon := pids(t, file, 1)[0]
	if !alive(t, daemon) {
		t.Error("the daemon was ended with the script")
	}
	had := groups() // none where no group can be made
	proc.SweepGroups()
	if groups() != had {
		t.Error("the cgroup of a running daemon was removed")
	}
	proc.SignalRef(daemon, syscall.SIGKILL)
	wait(t, "the cgroup is gone", func() bool { proc.SweepGroups(); return groups() == 0 })
}

// fault 38: a daemon that double-forked into a session of its own is caught by
// adoption alone.
func TestSoleTreeCatchesDaemons(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROC_TEST_SOLE="+
		`(setsid bash -c 'trap "" TERM; (echo $BASHPID >>`+file+`; exec sleep 300) & exit' &); exit 0`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	daemon := pids(t, file, 1)[0]
	wait(t, "the daemon's parents end", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", daemon.PID))
		parent, _, _, _, _, _ := proc.ParseStat(daemon.PID, text)
		return parent == cmd.Process.Pid
	})
	_, _ = in.Write([]byte("\n"))
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "1 0 <nil>\n" {
		t.Errorf("members, left, error: %q", out.String())
	}
	if alive(t, daemon) {
		t.Error("the daemon lives")
	}
}

// fault 14
func TestStrangerIsNeitherAliveNorSignalled(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ref, err := proc.Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !alive(t, ref) {
		t.Error("a live process is not alive")
	}
	for name, stranger := range map[string]proc.Ref{
		"other start": {PID: ref.PID, Start: ref.Start - 1, Boot: ref.Boot},
		"other boot":  {PID: ref.PID, Start: ref.Start, Boot: "other"},
	} {
		if alive(t, stranger) {
			t.Errorf("%s: alive", name)
		}
		proc.SignalRef(stranger, syscall.SIGKILL)
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil || !alive(t, ref) {
		t.Error("a stranger was signalled")
	}
	proc.SignalRef(ref, syscall.SIGKILL)
	wait(t, "a killed process that nobody waited for is not alive", func() bool { return !alive(t, ref) })
	_ = cmd.Wait()
	if alive(t, ref) {
		t.Error("alive after its end")
	}
}

func TestDetachedProcessIsInItsOwnSession(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "300")
	proc.Detach(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, group, session, _, _, err := proc.ParseStat(cmd.Process.Pid, text); err != nil || group != cmd.Process.Pid || session != cmd.Process.Pid {
		t.Errorf("group %d, session %d, %v; want %d", group, session, err, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	tail := strings.Repeat(" 0", 13)
	line := func(name, state, threads string) string {
		return "42 (" + name + ") " + state + " 1 40 30" + tail + " " + threads + " 0 987654 0 0"
	}
	for name, c := range map[string]struct {
		text string
		dead bool
		ok   bool
	}{
		"plain":            {line("bash", "S", "1"), false, true},
		"hostile name":     {line("a) R 9 9 (b", "S", "1"), false, true},
		"zombie":           {line("bash", "Z", "1"), true, true},
		"main thread gone": {line("bash", "Z", "3"), false, true},
		"short":            {"42 (bash) S 1 40", false, false},
		"empty":            {"", false, false},
		"no number":        {strings.Replace(line("bash", "S", "1"), "987654", "x", 1), false, false},
	} {
		parent, group, session, start, dead, err := proc.ParseStat(42, []byte(c.text))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && (parent != 1 || group != 40 || session != 30 || start != 987654 || dead != c.dead) {
			t.Errorf("%s: %d %d %d %d %v", name, parent, group, session, start, dead)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (bash) S 1 40 30 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 987654"))
	f.Add([]byte(") ) ("))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _, _, _, _, _ = proc.ParseStat(1, text) })
}
