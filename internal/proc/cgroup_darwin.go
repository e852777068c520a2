package proc

import "os/exec"

// cgroup does not exist here; its nil value catches nothing.
type cgroup struct{}

func newCgroup(string) *cgroup                           { return nil }
func (*cgroup) start(cmd *exec.Cmd) (in bool, err error) { return false, cmd.Start() }
func (*cgroup) pids() map[int]bool                       { return map[int]bool{} }
func (*cgroup) kill()                                    {}
func (*cgroup) close()                                   {}

// SweepGroups does nothing: there are no control groups.
func SweepGroups() {}
