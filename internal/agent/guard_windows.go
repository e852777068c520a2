package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/slipwayhq/slipway/internal/resource"
)

// homeRights let SYSTEM, administrators and the home's owner do everything and
// nobody else anything, and inherit nothing from above: what lies in
// ProgramData is open to all users otherwise.
const homeRights = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"

// MakeHome makes the agent's home, open to administrators and its owner alone.
func MakeHome(home string) error {
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make the agent's home: %w", err)
	}
	rights, err := windows.SecurityDescriptorFromString(homeRights)
	if err != nil {
		return fmt.Errorf("protect the agent's home: %w", err)
	}
	list, _, err := rights.DACL()
	if err != nil {
		return fmt.Errorf("protect the agent's home: %w", err)
	}
	err = windows.SetNamedSecurityInfo(home, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		return fmt.Errorf("protect the agent's home: %w", err)
	}
	return nil
}

// checkPlace refuses to run from or with files that ordinary users can change:
// whoever can write them gives the agent orders (abuse 85).
func checkPlace(home, program string) error {
	for _, path := range []string{home, identityDir(home), filepath.Join(home, configFile), program, filepath.Dir(program)} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := checkRights(path); err != nil {
			return err
		}
	}
	return nil
}

const writeRights = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.DELETE |
	windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL

func checkRights(path string) error {
	info, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("check the rights of %s: %w", path, err)
	}
	list, _, err := info.DACL()
	if err != nil || list == nil {
		return resource.Errorf(resource.PreconditionFailed, "%s can be changed by everyone. Restrict its permissions to administrators, then start again.", path)
	}
	for _, kind := range []windows.WELL_KNOWN_SID_TYPE{windows.WinWorldSid, windows.WinAuthenticatedUserSid, windows.WinBuiltinUsersSid} {
		many, err := windows.CreateWellKnownSid(kind)
		if err != nil {
			return fmt.Errorf("check the rights of %s: %w", path, err)
		}
		for i := range uint32(list.AceCount) {
			var ace *windows.ACCESS_ALLOWED_ACE
			if err := windows.GetAce(list, i, &ace); err != nil {
				return fmt.Errorf("check the rights of %s: %w", path, err)
			}
			sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)) //nolint:gosec // the entry ends with the SID, as Windows lays it out
			if ace.Header.AceType == windows.ACCESS_ALLOWED_ACE_TYPE && ace.Header.AceFlags&windows.INHERIT_ONLY_ACE == 0 &&
				ace.Mask&writeRights != 0 && sid.Equals(many) {
				return resource.Errorf(resource.PreconditionFailed,
					"%s can be changed by ordinary users. Restrict its permissions to administrators, then start again.", path)
			}
		}
	}
	return nil
}
