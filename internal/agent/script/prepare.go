package script

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Variable is one that the script can read, already evaluated.
type Variable struct {
	Name  string
	Value string
}

// Spec is a script to be run.
type Spec struct {
	Syntax    Syntax
	Body      string // the script itself, or
	File      string // the absolute path of one that is on the disk already
	Arguments []Argument
	Variables []Variable
	Dir       string   // the script's current folder
	Env       []string // what it inherits
	Edition   string   // of PowerShell on Windows: "Core" is pwsh
	// Nonce, when set, is sent with every service message of the functions
	// given to the script, so that those of other programs can be told apart
	// (abuse 77).
	Nonce string
}

//go:embed bootstrap.sh bootstrap.ps1 bootstrap.py
var bootstraps embed.FS

// ErrNoInterpreter is in the chain when no program runs the syntax here.
var ErrNoInterpreter = errors.New("script: no interpreter")

// Prepare writes what the script needs into the new folder work (0700, files
// 0600), which the caller removes, and returns the command that runs it.
// lookPath is exec.LookPath. Nothing is started.
func Prepare(work string, s Spec, lookPath func(string) (string, error)) (*exec.Cmd, error) {
	program, err := find(s, lookPath)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, fmt.Errorf("prepare script: %w", err)
	}
	w := &writer{dir: work}
	target := s.File
	if target == "" {
		target = w.write("script"+s.Syntax.extension(), bodyOf(s))
	} else if s.Syntax == Bash {
		w.err = unixLines(target)
	}
	var bootstrap string
	var arguments []string
	env := s.Env
	switch s.Syntax {
	case Bash:
		w.write("variables.sh", shellVariables(s.Variables))
		bootstrap = w.write("bootstrap.sh", shellBootstrap(s, target, work))
		arguments = []string{bootstrap}
	case PowerShell:
		w.write("variables.dat", plainVariables(s.Variables))
		bootstrap = w.write("bootstrap.ps1", powerShellBootstrap(s, target, work))
		arguments = []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Unrestricted", "-File", bootstrap}
	case Python:
		w.write("variables.dat", plainVariables(s.Variables))
		bootstrap = w.write("bootstrap.py", pythonBootstrap(s, target, work))
		arguments = []string{bootstrap}
		env = append(slices.Clip(env), "PYTHONIOENCODING=utf-8", "PYTHONUNBUFFERED=1")
	}
	if w.err != nil {
		return nil, fmt.Errorf("prepare script: %w", w.err)
	}
	return &exec.Cmd{Path: program, Args: append([]string{program}, arguments...), Dir: s.Dir, Env: env}, nil
}

func find(s Spec, lookPath func(string) (string, error)) (string, error) {
	names := s.Syntax.programs(runtime.GOOS, s.Edition)
	for _, name := range names {
		if program, err := lookPath(name); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("%w: install %s on this machine to run %s scripts", ErrNoInterpreter, strings.Join(names, " or "), s.Syntax)
}

// writer writes private files until the first error.
type writer struct {
	dir string
	err error
}

func (w *writer) write(name, text string) string {
	full := filepath.Join(w.dir, name)
	if w.err == nil {
		w.err = os.WriteFile(full, []byte(text), 0o600)
	}
	return full
}

const byteOrderMark = "\ufeff"

// bodyOf is the script as its interpreter wants it: without byte order mark
// and with plain line ends for the shell, with the mark for Windows PowerShell.
func bodyOf(s Spec) string {
	body := strings.TrimPrefix(s.Body, byteOrderMark)
	switch s.Syntax {
	case Bash:
		return strings.ReplaceAll(body, "\r\n", "\n")
	case PowerShell:
		return byteOrderMark + body
	case Python:
	}
	return body
}

// unixLines rewrites a shell script that was saved with Windows' line ends,
// which no shell can read.
func unixLines(file string) error {
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte("\r\n")) {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), info.Mode().Perm())
}

func embedded(name string) string {
	text, err := bootstraps.ReadFile(name)
	if err != nil {
		panic(err) // part of the binary
	}
	return string(text)
}

// shellQuote makes any text without NUL one literal word of any shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", `'\''`) + "'"
}

// shellVariables is a function that looks a name up; the shell parses it once.
func shellVariables(list []Variable) string {
	var b strings.Builder
	b.WriteString("_slipway_lookup() {\ncase \"$1\" in\n")
	for _, v := range list {
		b.WriteString(shellQuote(v.Name) + ") _slipway_value=" + shellQuote(v.Value) + " ;;\n")
	}
	b.WriteString("*) _slipway_value= ;;\nesac\n}\n")
	return b.String()
}

func shellBootstrap(s Spec, target, work string) string {
	var b strings.Builder
	b.WriteString(embedded("bootstrap.sh"))
	b.WriteString("_slipway_nonce=" + shellQuote(nonceAttribute(s.Nonce)) + "\n")
	b.WriteString(". " + shellQuote(filepath.Join(work, "variables.sh")) + "\nset --")
	for _, a := range s.Arguments {
		b.WriteString(" " + shellQuote(a.Text))
	}
	b.WriteString("\n. " + shellQuote(target) + "\n")
	return b.String()
}

func nonceAttribute(nonce string) string {
	if nonce == "" {
		return ""
	}
	return " nonce='" + base64.StdEncoding.EncodeToString([]byte(nonce)) + "'"
}

// plainVariables is one line for each variable: name and value in base64.
func plainVariables(list []Variable) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(v.Name)))
		b.WriteByte(' ')
		b.WriteString(base64.StdEncoding.EncodeToString([]byte(v.Value)))
		b.WriteByte('\n')
	}
	return b.String()
}

// powerShellQuote makes any text a literal; PowerShell takes five characters
// for single quotes.
func powerShellQuote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// powerShellBare are the parameters that mean something only without quotes.
var powerShellBare = regexp.MustCompile(`^(-[A-Za-z_][A-Za-z0-9_]*(:\$(true|false))?:?|(?i:\$true|\$false|\$null)|\$OctopusParameters\[(?:"[^"$` + "`" + `]*"|'[^']*')\])$`)

func powerShellBootstrap(s Spec, target, work string) string {
	var b strings.Builder
	b.WriteString(byteOrderMark + embedded("bootstrap.ps1"))
	b.WriteString("$SlipwayNonce = " + powerShellQuote(nonceAttribute(s.Nonce)) + "\n")
	b.WriteString("Read-SlipwayVariables " + powerShellQuote(filepath.Join(work, "variables.dat")) + "\n")
	b.WriteString("try {\n    . " + powerShellQuote(target))
	for _, a := range s.Arguments {
		if powerShellBare.MatchString(a.Raw) {
			b.WriteString(" " + a.Raw)
		} else {
			b.WriteString(" " + powerShellQuote(a.Text))
		}
	}
	b.WriteString("\n} catch {\n    Write-SlipwayError $_\n    exit 1\n}\n" +
		"if ((Test-Path variable:global:LASTEXITCODE) -and $null -ne $global:LASTEXITCODE) { exit $global:LASTEXITCODE }\nexit 0\n")
	return b.String()
}

func pythonBootstrap(s Spec, target, work string) string {
	var b strings.Builder
	b.WriteString(embedded("bootstrap.py"))
	fmt.Fprintf(&b, "_nonce = %s\n", pythonQuote(nonceAttribute(s.Nonce)))
	fmt.Fprintf(&b, "_read_variables(%s)\n", pythonQuote(filepath.Join(work, "variables.dat")))
	b.WriteString("_run(" + pythonQuote(target) + ", [")
	for _, a := range s.Arguments {
		b.WriteString(pythonQuote(a.Text) + ", ")
	}
	b.WriteString("])\n")
	return b.String()
}

// pythonQuote makes any text a literal, by way of base64: no escape of one
// language is left to be read by another.
func pythonQuote(s string) string {
	return `_decode("` + base64.StdEncoding.EncodeToString([]byte(s)) + `")`
}
