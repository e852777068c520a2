package proc

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is a control group made for one tree below the one that this process
// is in. All methods work on nil, which catches nothing: in most containers no
// group can be made.
type cgroup struct {
	dir string
	// v2 is the unified hierarchy; else it is the v1 freezer or pids one.
	v2 bool
}

const cgroupMount = "/sys/fs/cgroup"

// groupPrefix marks the groups that were made here.
const groupPrefix = "slipway-"

// newCgroup makes a group in the first hierarchy that lets it, nil if none does.
func newCgroup(name string) *cgroup {
	if name == "" || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") {
		return nil
	}
	for _, h := range hierarchies() {
		dir := filepath.Join(h.dir, groupPrefix+name)
		if err := os.Mkdir(dir, 0o755); err == nil || os.IsExist(err) {
			return &cgroup{dir: dir, v2: h.v2}
		}
	}
	return nil
}

// hierarchies are the groups that this process is in, where groups for its
// trees may be made below, the best first.
func hierarchies() []cgroup {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	paths := map[string]string{} // controller, "" for v2, to this process's group
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	var found []cgroup
	for _, h := range []struct{ mount, controller string }{
		{cgroupMount, ""},
		{cgroupMount + "/unified", ""},
		{cgroupMount + "/freezer", "freezer"},
		{cgroupMount + "/pids", "pids"},
	} {
		path, ok := paths[h.controller]
		if !ok {
			continue
		}
		dir := filepath.Join(h.mount, path)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			found = append(found, cgroup{dir: dir, v2: h.controller == ""})
		}
	}
	return found
}

// start starts cmd in the group and says whether it is in. In the unified
// hierarchy it is born there (Linux 5.7): no child of it can escape, and the
// kernel need not stop for a move, some 10 ms. Elsewhere it is moved in; what it
// started before is found by descent.
func (c *cgroup) start(cmd *exec.Cmd) (in bool, err error) {
	if c != nil && c.v2 && c.bear(cmd) {
		return true, nil
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	return c != nil && c.write("cgroup.procs", strconv.Itoa(cmd.Process.Pid)), nil
}

// bear starts cmd in the group. Where that is not possible, as under an old
// kernel or a container's rules, cmd is as new.
func (c *cgroup) bear(cmd *exec.Cmd) bool {
	dir, err := os.Open(c.dir)
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	attr := *cmd.SysProcAttr
	unborn := exec.Cmd{
		Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
		ExtraFiles: cmd.ExtraFiles, SysProcAttr: &attr, WaitDelay: cmd.WaitDelay,
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	if err = cmd.Start(); err != nil {
		*cmd = unborn
	}
	return err == nil
}

// pids lists who is in; never nil.
func (c *cgroup) pids() map[int]bool {
	pids := map[int]bool{}
	if c == nil {
		return pids
	}
	text, err := os.ReadFile(filepath.Join(c.dir, "cgroup.procs"))
	if err != nil {
		return pids
	}
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids[pid] = true
		}
	}
	return pids
}

// kill ends all at one stroke on v2. On v1 it only keeps a fork bomb from
// growing; the signals follow, and reach frozen processes once thawed.
func (c *cgroup) kill() {
	switch {
	case c == nil:
	case c.v2:
		_ = c.write("cgroup.kill", "1")
	case c.write("freezer.state", "FROZEN"):
		for pid := range c.pids() {
			if ref, err := Find(pid); err == nil && c.pids()[pid] {
				signal(ref, 9)
			}
		}
		_ = c.write("freezer.state", "THAWED")
	default:
		_ = c.write("pids.max", "0")
	}
}

// close removes the group if it is empty. What still runs in it stays there;
// the next tree of that name takes the group over.
func (c *cgroup) close() {
	if c != nil {
		_ = os.Remove(c.dir)
	}
}

// SweepGroups removes the cgroups of trees whose last process has ended since:
// a daemon that outlived its tree keeps the tree's group as long as it runs.
func SweepGroups() {
	for _, h := range hierarchies() {
		groups, err := filepath.Glob(filepath.Join(h.dir, groupPrefix+"*"))
		if err != nil {
			continue
		}
		for _, group := range groups {
			_ = os.Remove(group) // the system refuses while anything runs in it
		}
	}
}

func (c *cgroup) write(file, text string) bool {
	f, err := os.OpenFile(filepath.Join(c.dir, file), os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	_, err = f.WriteString(text)
	return f.Close() == nil && err == nil
}
