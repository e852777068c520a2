package script

import (
	"fmt"
	"path"
	"strings"
)

// Syntax is the language of a script, by its name in the process.
type Syntax string

// The languages that can be run.
const (
	Bash       Syntax = "Bash"
	PowerShell Syntax = "PowerShell"
	Python     Syntax = "Python"
)

// ParseSyntax reads the name of a language, in any case.
func ParseSyntax(name string) (Syntax, error) {
	for _, s := range []Syntax{Bash, PowerShell, Python} {
		if strings.EqualFold(name, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("scripts in %q cannot be run here; use Bash, PowerShell or Python", name)
}

// SyntaxOf tells the language from a file name's extension.
func SyntaxOf(name string) (Syntax, bool) {
	switch strings.ToLower(path.Ext(name)) {
	case ".sh":
		return Bash, true
	case ".ps1":
		return PowerShell, true
	case ".py":
		return Python, true
	}
	return "", false
}

// Preference lists the extensions of scripts in the order in which one of
// several is picked (configuration.md 5.1).
func Preference(goos string) []string {
	if goos == "windows" {
		return []string{".ps1", ".py", ".sh"}
	}
	return []string{".sh", ".py", ".ps1"}
}

func (s Syntax) extension() string {
	return map[Syntax]string{Bash: ".sh", PowerShell: ".ps1", Python: ".py"}[s]
}

// programs lists the interpreters to look for, best first.
func (s Syntax) programs(goos, edition string) []string {
	switch s {
	case Bash:
		return []string{"bash", "sh"}
	case Python:
		if goos == "windows" {
			return []string{"python", "python3", "py"}
		}
		return []string{"python3", "python"}
	case PowerShell:
	}
	if goos == "windows" && !strings.EqualFold(edition, "Core") {
		return []string{"powershell"}
	}
	return []string{"pwsh"}
}
