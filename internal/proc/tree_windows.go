package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// net is the job object that the tree lives in. Processes cannot leave it.
type net struct {
	root Ref
	sole bool
	job  windows.Handle
}

// start creates the process suspended, puts it into the job, and lets it run:
// it cannot start anything outside.
func start(cmd *exec.Cmd, o Options) (*net, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.CreationFlags |= windows.CREATE_SUSPENDED
	if !o.Sole {
		cmd.SysProcAttr.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	root, err := confine(job, cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill() // still suspended: it has done nothing
		_ = cmd.Wait()
		return nil, errors.Join(err, windows.CloseHandle(job))
	}
	return &net{root: root, sole: o.Sole, job: job}, nil
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
		uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil) //nolint:gosec // the call fills a structure
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

// ask sends Ctrl+C to all on the console of a sole tree, the caller among them:
// what PowerShell and Python clean up after. Others hear Ctrl+Break, the only
// event that a group can be sent, which many programs end at without cleaning
// up. Without a console, as in a plain service, nobody can be asked.
func (n *net) ask([]Ref) {
	if n.sole {
		_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0)
		return
	}
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(n.root.PID))
}

func (n *net) kill([]Ref) { _ = windows.TerminateJobObject(n.job, 137) }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }

// AdoptOrphans prepares this process to ask a sole tree to end: Ctrl+C, which is
// off in a process that was started as a group, is on for it and its children.
// No process can leave its job object, so there is nobody to adopt.
func AdoptOrphans() error {
	handler := windows.NewLazySystemDLL("kernel32.dll").NewProc("SetConsoleCtrlHandler")
	if err := handler.Find(); err != nil {
		return err
	}
	if done, _, err := handler.Call(0, 0); done == 0 {
		return fmt.Errorf("turn Ctrl+C on: %w", err)
	}
	return nil
}

// SweepGroups does nothing: a job object goes with its last process.
func SweepGroups() {}
