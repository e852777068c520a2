package agent

import (
	"fmt"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// freeDisk is what the agent's user could still write at the path, -1 if that
// cannot be found out.
func freeDisk(path string) int64 {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return -1
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return -1
	}
	return int64(free)
}

func systemName() string {
	v := windows.RtlGetVersion()
	name := localMachine(`SOFTWARE\Microsoft\Windows NT\CurrentVersion`, "ProductName")
	if name == "" {
		name = "Windows"
	}
	return fmt.Sprintf("%s %d.%d.%d", name, v.MajorVersion, v.MinorVersion, v.BuildNumber)
}

// machineID names this installation of the system.
func machineID() string { return localMachine(`SOFTWARE\Microsoft\Cryptography`, "MachineGuid") }

func localMachine(path, name string) string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer func() { _ = key.Close() }()
	text, _, err := key.GetStringValue(name)
	if err != nil {
		return ""
	}
	return text
}
