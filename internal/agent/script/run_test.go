package script_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/agent/script"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// tricky are names and values that must reach a script as they are (abuse 83).
var tricky = []script.Variable{
	{Name: "Plain", Value: "value"},
	{Name: "Octopus.Action[Web Server].Output[$(touch pwned)].X", Value: "indexed"},
	{Name: "$(touch pwned)", Value: "`touch pwned`"},
	{Name: "it's; touch pwned #", Value: "'; touch pwned; '"},
	{Name: "*", Value: "star"},
	{Name: "Lines", Value: "one\n\ttwo \\ \"three\" %s\\n\n"},
	{Name: "Ünï", Value: "schön ’‘ \U0001F680"},
	{Name: "Empty", Value: ""},
}

// only makes lookPath find this program alone, under every name.
func only(t *testing.T, program string) func(string) (string, error) {
	t.Helper()
	full, err := exec.LookPath(program)
	if err != nil {
		t.Skip(program + " is not on this machine")
	}
	return func(string) (string, error) { return full, nil }
}

// run prepares and runs a script and gives its code, its log and what it
// handed back.
func run(t *testing.T, s script.Spec, lookPath func(string) (string, error)) (int, []string, script.Collected, string) {
	t.Helper()
	work := filepath.Join(t.TempDir(), "it's a $(work) folder")
	s.Dir, s.Env = t.TempDir(), os.Environ()
	cmd, err := script.Prepare(work, s, lookPath)
	if err != nil {
		t.Fatal(err)
	}
	checkPrivate(t, work)
	for _, v := range s.Variables {
		if v.Value != "" && slices.ContainsFunc(append(cmd.Args, cmd.Env...), func(a string) bool { return strings.Contains(a, v.Value) }) {
			t.Errorf("value of %q is on the command line or in the environment", v.Name)
		}
	}
	var out bytes.Buffer
	log := script.NewLog(script.LogOptions{Out: &out, Clock: clock, Nonce: s.Nonce})
	cmd.Stdout, cmd.Stderr = log.Stdout(), log.Stderr()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	ending := log.EndScript()
	if wantEnd := strings.Contains(s.Body, "no more"); wantEnd != (ending == script.Ending{Failure: "no more", ErrorOutput: true}) {
		t.Errorf("ending %+v", ending)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "pwned")); len(left) > 0 {
		t.Error("a name or value was run as code")
	}
	records := strings.Split(strings.TrimSuffix(strings.ReplaceAll(out.String(), "1000\t", ""), "\n"), "\n")
	return cmd.ProcessState.ExitCode(), records, log.Collected(), s.Dir
}

// abuse 72: 0700 and 0600.
func checkPrivate(t *testing.T, work string) {
	t.Helper()
	err := filepath.WalkDir(work, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shells are those that the bootstrap has to work in.
func shells(t *testing.T, test func(t *testing.T, lookPath func(string) (string, error))) {
	t.Helper()
	for _, shell := range []string{"bash", "dash", "sh"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			test(t, only(t, shell))
		})
	}
}

const shellBody = `set -eu
write_verbose "args: $# [$1] [$2]"
for name in Plain 'Octopus.Action[Web Server].Output[$(touch pwned)].X' '$(touch pwned)' "it's; touch pwned #" '*' Lines 'Ünï' Empty Missing; do
    printf '%s=<%s>\n' "$name" "$(get_octopusvariable "$name")"
done
set_octopusvariable "Out 1" "a 'b'
c"
set_octopusvariable Secret "hunter22" -sensitive
echo "again: $(get_octopusvariable 'Out 1')"
echo "hunter22"
write_highlight "50% \n high"
write_wait wait
write_warning careful
update_progress 42 "nearly there"
echo data > "my file.txt"
new_octopusartifact "my file.txt"
new_octopusartifact "$PWD/my file.txt" other
echo oops >&2
fail_step "no more"
`

func TestShell(t *testing.T) {
	t.Parallel()
	shells(t, func(t *testing.T, lookPath func(string) (string, error)) {
		t.Helper()
		code, records, got, dir := run(t, script.Spec{
			Syntax: script.Bash, Body: shellBody, Variables: tricky, Nonce: "n",
			Arguments: []script.Argument{{Text: "$(touch pwned)"}, {Text: "two words"}},
		}, lookPath)
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		slices.SortStableFunc(records, func(a, b string) int { // stderr comes at its own time
			return strings.Compare(fmtStream(a), fmtStream(b))
		})
		want := []string{
			"Verbose\targs: 2 [$(touch pwned)] [two words]",
			"Info\tPlain=<value>", "Info\tOctopus.Action[Web Server].Output[$(touch pwned)].X=<indexed>",
			"Info\t$(touch pwned)=<`touch pwned`>", "Info\tit's; touch pwned #=<'; touch pwned; '>", "Info\t*=<star>",
			"Info\tLines=<one", "Info\t\ttwo \\ \"three\" %s\\n>", "Info\tÜnï=<schön ’‘ \U0001F680>", "Info\tEmpty=<>", "Info\tMissing=<>",
			"Info\tagain: a 'b'", "Info\tc", "Info\t" + stars,
			`Highlight	50% \n high`, "Wait\twait", "Warning\tcareful", "Progress\t42 nearly there",
			"Verbose\tArtifact my file.txt will be collected from " + dir + "/my file.txt after this step completes",
			"Verbose\tArtifact other will be collected from " + dir + "/my file.txt after this step completes",
			"Error\toops",
		}
		if diff := cmp.Diff(want, records); diff != "" {
			t.Error(diff)
		}
		checkCollected(t, got, dir)
	})
}

func fmtStream(record string) string {
	if strings.HasPrefix(record, "Error\t") {
		return "2"
	}
	return "1"
}

func checkCollected(t *testing.T, got script.Collected, dir string) {
	t.Helper()
	file := filepath.Join(dir, "my file.txt")
	want := script.Collected{
		Outputs:   []script.Output{{Name: "Out 1", Value: "a 'b'\nc"}, {Name: "Secret", Value: "hunter22", Sensitive: true}},
		Artifacts: []script.Artifact{{Name: "my file.txt", Path: file}, {Name: "other", Path: file}},
		Warned:    true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestShellExitCodes(t *testing.T) {
	t.Parallel()
	shells(t, func(t *testing.T, lookPath func(string) (string, error)) {
		t.Helper()
		for body, want := range map[string]int{"exit 7": 7, "true": 0, "false": 1, "set -e\nfalse\nexit 0": 1, "\ufeffexit 3\r\n": 3, "": 0} {
			if code, records, _, _ := run(t, script.Spec{Syntax: script.Bash, Body: body}, lookPath); code != want {
				t.Errorf("%q: code %d, want %d: %q", body, code, want, records)
			}
		}
	})
}

func TestBashFindsNamesInAnyCase(t *testing.T) {
	t.Parallel()
	code, records, _, _ := run(t, script.Spec{
		Syntax: script.Bash, Variables: tricky,
		Body: `get_octopusvariable pLAIN; set_octopusvariable X 1; get_octopusvariable x; [[ a == A ]] && echo " nocasematch leaks"; exit 0`,
	}, only(t, "bash"))
	if code != 0 || strings.Join(records, "") != "Info\tvalue1" && strings.Join(records, "") != "Info\tvalueInfo\t1" {
		t.Errorf("%d %q", code, records)
	}
}

func TestScriptOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "it's.sh")
	if err := os.WriteFile(file, []byte("echo from ${BASH_SOURCE[0]##*/}\r\necho done\r\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	code, records, _, _ := run(t, script.Spec{Syntax: script.Bash, File: file}, only(t, "bash"))
	if code != 0 || !slices.Equal(records, []string{"Info\tfrom it's.sh", "Info\tdone"}) {
		t.Errorf("%d %q", code, records)
	}
}

const pythonBody = `import sys, os
printverbose("args: %d [%s] [%s]" % (len(sys.argv) - 1, sys.argv[1], sys.argv[2]))
for name in ["Plain", "Octopus.Action[Web Server].Output[$(touch pwned)].X", "$(touch pwned)", "it's; touch pwned #", "*", "Ünï", "Empty"]:
    print("%s=<%s>" % (name, get_octopusvariable(name)))
print(repr(octopusvariables["lines"]), octopusvariables.get("Missing", "nothing"), "PLAIN" in octopusvariables)
set_octopusvariable("Out 1", "a 'b'\nc")
set_octopusvariable("Secret", "hunter22", True)
print("again: " + octopusvariables["out 1"])
print("hunter22")
printhighlight("50% \\n high")
printwait("wait")
printwarning("careful")
updateprogress(42, "nearly there")
open("my file.txt", "w").write("data")
createartifact("my file.txt")
createartifact(os.path.abspath("my file.txt"), "other")
sys.stderr.write("oops\n")
failstep("no more")
`

func TestPython(t *testing.T) {
	t.Parallel()
	code, records, got, dir := run(t, script.Spec{
		Syntax: script.Python, Body: pythonBody, Variables: tricky, Nonce: "n",
		Arguments: []script.Argument{{Text: "$(touch pwned)"}, {Text: "two words"}},
	}, only(t, "python3"))
	if code != 255 {
		t.Errorf("exit code %d", code)
	}
	slices.SortStableFunc(records, func(a, b string) int { return strings.Compare(fmtStream(a), fmtStream(b)) })
	want := []string{
		"Verbose\targs: 2 [$(touch pwned)] [two words]",
		"Info\tPlain=<value>", "Info\tOctopus.Action[Web Server].Output[$(touch pwned)].X=<indexed>",
		"Info\t$(touch pwned)=<`touch pwned`>", "Info\tit's; touch pwned #=<'; touch pwned; '>", "Info\t*=<star>",
		"Info\tÜnï=<schön ’‘ \U0001F680>", "Info\tEmpty=<>",
		`Info	'one\n\ttwo \\ "three" %s\\n\n' nothing True`,
		"Info\tagain: a 'b'", "Info\tc", "Info\t" + stars,
		`Highlight	50% \n high`, "Wait\twait", "Warning\tcareful", "Progress\t42 nearly there",
		"Verbose\tArtifact my file.txt will be collected from " + dir + "/my file.txt after this step completes",
		"Verbose\tArtifact other will be collected from " + dir + "/my file.txt after this step completes",
		"Error\toops",
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Error(diff)
	}
	checkCollected(t, got, dir)
}

func TestPythonErrors(t *testing.T) {
	t.Parallel()
	code, records, _, _ := run(t, script.Spec{Syntax: script.Python, Body: "raise ValueError('x')"}, only(t, "python3"))
	if code != 1 || !strings.HasSuffix(records[len(records)-1], "ValueError: x") {
		t.Errorf("%d %q", code, records)
	}
	if code, _, _, _ := run(t, script.Spec{Syntax: script.Python, Body: "import sys; sys.exit(4)"}, only(t, "python3")); code != 4 {
		t.Error(code)
	}
}

const powerShellBody = `param([string]$First, [string]$Second, [switch]$Flag)
Write-Verbose "args: [$First] [$Second] $Flag"
Write-Host $OctopusParameters["plain"]
Write-Host $Plain
Set-OctopusVariable -name "Out 1" -value "a 'b'` + "`n" + `c"
Set-OctopusVariable -name Secret -value hunter22 -sensitive
Write-Highlight "high"
Write-Wait "wait"
Write-Warning "careful"
Update-Progress 42 "nearly there"
"data" | Out-File "my file.txt"
New-OctopusArtifact "my file.txt"
New-OctopusArtifact -Path "my file.txt" -Name other
[Console]::Error.WriteLine("oops")
Fail-Step "no more"
`

var powerShellSpec = script.Spec{
	Syntax: script.PowerShell, Body: powerShellBody, Variables: tricky, Nonce: "n",
	Arguments: script.SplitArguments(`-First '$(touch pwned)' -Second "it’s ; two words" -Flag:$true`, func(s string) string { return s }),
}

func TestPowerShell(t *testing.T) {
	t.Parallel()
	code, records, got, dir := run(t, powerShellSpec, only(t, "pwsh"))
	if code == 0 || !slices.Contains(records, "Verbose\targs: [$(touch pwned)] [it’s ; two words] True") {
		t.Errorf("%d %q", code, records)
	}
	checkCollected(t, got, dir)
}

// PowerShell is not everywhere: what would be run is compared byte by byte.
func TestPowerShellGolden(t *testing.T) {
	t.Parallel()
	work := filepath.Join(t.TempDir(), "work")
	s := powerShellSpec
	s.Dir = "/dir"
	cmd, err := script.Prepare(work, s, func(name string) (string, error) { return "/bin/" + name, nil })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cmd.Args[1:7], []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Unrestricted", "-File"}) || cmd.Dir != "/dir" {
		t.Error(cmd.Args, cmd.Dir)
	}
	var all strings.Builder
	for _, name := range []string{"bootstrap.ps1", "script.ps1", "variables.dat"} {
		text, err := os.ReadFile(filepath.Join(work, name))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("-- " + name + " --\n" + string(text))
	}
	got := strings.ReplaceAll(all.String(), work+string(filepath.Separator), "WORK/")
	golden := filepath.Join("testdata", "powershell.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestSplitArguments(t *testing.T) {
	t.Parallel()
	expand := func(s string) string {
		return strings.NewReplacer("#{Name}", "a b; 'c'", `#{if Name == "x y"}1 2#{/if}`, "yes").Replace(s)
	}
	cases := map[string][]string{
		"":                        nil,
		"  one  two ":             {"one", "two"},
		`"a b" 'c d' e"f g"h`:     {"a b", "c d", "ef gh"},
		`-Path C:\dir\x \"q\"`:    {"-Path", `C:\dir\x`, `"q"`},
		`#{Name} x"#{Name}" '#{`:  {"a b; 'c'", "xa b; 'c'", "#{"},
		`"" ''`:                   {"", ""},
		`"open`:                   {"open"},
		`#{if Name == "x y"}1`:    {`#{if Name == "x y"}1`},
		"a\n\tb":                  {"a", "b"},
		`#{Other | Replace "#{x`:  {`#{Other | Replace "#{x`},
		`#{A | Replace "a b"} 2 `: {`#{A | Replace "a b"}`, "2"},
	}
	for text, want := range cases {
		var got []string
		for _, a := range script.SplitArguments(text, expand) {
			got = append(got, a.Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestNoInterpreter(t *testing.T) {
	t.Parallel()
	work := filepath.Join(t.TempDir(), "work")
	_, err := script.Prepare(work, script.Spec{Syntax: script.Python}, func(string) (string, error) { return "", exec.ErrNotFound })
	if !errors.Is(err, script.ErrNoInterpreter) || !strings.Contains(err.Error(), "python3") {
		t.Error(err)
	}
	if _, err := os.Stat(work); err == nil {
		t.Error("left a folder")
	}
	if _, err := script.ParseSyntax("CSharp"); err == nil {
		t.Error("CSharp is no syntax here")
	}
}
