package proc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// net is the job object that the tree lives in. Processes cannot leave it.
type net struct {
	root Ref
	job  windows.Handle
}

// start creates the process suspended, puts it into the job, and lets it run:
// it cannot start anything outside.
func start(cmd *exec.Cmd, _ Options) (*net, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags |= windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	root, err := confine(job, cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill() // still suspended: it has done nothing
		_ = cmd.Wait()
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	return &net{root: root, job: job}, nil
}

func confine(job windows.Handle, pid int) (Ref, error) {
	access := uint32(windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE | windows.PROCESS_SUSPEND_RESUME)
	process, err := windows.OpenProcess(access, false, uint32(pid))
	if err != nil {
		return Ref{}, err
	}
	defer func() { _ = windows.CloseHandle(process) }()
	if err := windows.AssignProcessToJobObject(job, process); err != nil {
		return Ref{}, err
	}
	root, err := Find(pid)
	if err != nil {
		return Ref{}, err
	}
	resume := windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")
	if err := resume.Find(); err != nil {
		return Ref{}, err
	}
	if status, _, _ := resume.Call(uintptr(process)); status != 0 {
		return Ref{}, windows.NTStatus(status)
	}
	return root, nil
}

func (n *net) close() { _ = windows.CloseHandle(n.job) }

// maxListed bounds the processes of one tree that are listed by pid; the job
// object ends all of them anyway.
const maxListed = 1024

// processIDList is JOBOBJECT_BASIC_PROCESS_ID_LIST with room.
type processIDList struct {
	assigned, listed uint32
	pids             [maxListed]uintptr
}

func (n *net) members() ([]Ref, error) {
	var list processIDList
	err := windows.QueryInformationJobObject(n.job, windows.JobObjectBasicProcessIdList,
		uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	if err != nil && !errors.Is(err, windows.ERROR_MORE_DATA) {
		return nil, err
	}
	var refs []Ref
	for _, pid := range list.pids[:min(list.listed, maxListed)] {
		ref, err := Find(int(pid))
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil { // it is in the job, whoever it is
			ref = Ref{PID: int(pid)}
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// ask sends Ctrl+Break to the root's group, which shares the caller's console.
// Without a console, as in a plain service, nobody can be asked.
func (n *net) ask([]Ref) {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(n.root.PID))
}

func (n *net) kill([]Ref) { _ = windows.TerminateJobObject(n.job, 137) }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }

// AdoptOrphans does nothing: no process can leave its job object.
func AdoptOrphans() error { return nil }

// SweepGroups does nothing: a job object goes with its last process.
func SweepGroups() {}
