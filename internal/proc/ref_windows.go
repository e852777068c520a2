package proc

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
)

// systemTimeOfDay is SYSTEM_TIMEOFDAY_INFORMATION of winternl.h.
type systemTimeOfDay struct {
	BootTime, CurrentTime, TimeZoneBias int64
	TimeZoneID, Reserved                uint32
	BootTimeBias, SleepTimeBias         uint64
}

// BootID names this run of the system: the boot time, less the corrections that
// were made to the clock since, so that it stays the same when the clock is set.
func BootID() (string, error) {
	var info systemTimeOfDay
	err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&info), uint32(unsafe.Sizeof(info)), nil) //nolint:gosec // the call fills a structure
	if err != nil {
		return "", fmt.Errorf("read boot time: %w", err)
	}
	return strconv.FormatInt(info.BootTime-int64(info.BootTimeBias), 10), nil
}

func startOf(pid int) (int64, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) { // how it says that there is none
		return 0, ErrGone
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = windows.CloseHandle(process) }()
	// A process that has ended exists as long as anyone holds a handle.
	if event, err := windows.WaitForSingleObject(process, 0); err == nil && event == windows.WAIT_OBJECT_0 {
		return 0, ErrGone
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	return int64(created.HighDateTime)<<32 | int64(created.LowDateTime), nil
}
