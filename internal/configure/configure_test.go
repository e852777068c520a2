package configure_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/slipwayhq/slipway/internal/configure"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/template"
)

type log struct {
	t     *testing.T
	mu    sync.Mutex
	warns []string
}

func newLog(t *testing.T) *log {
	t.Helper()
	return &log{t: t}
}

func (l *log) Info(line string) { l.t.Log("info", line) }

func (l *log) Warn(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warns = append(l.warns, line)
}

func open(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// folder makes a folder from names and contents.
func folder(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func variables(pairs ...string) *template.Set {
	set := template.NewSet()
	for i := 0; i < len(pairs); i += 2 {
		set.Put(pairs[i], pairs[i+1])
	}
	return set
}

func TestTheFeaturesFollowEachOther(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"conf/app.json": `{"Url": "#{Scheme}://old", "Port": 1}`,
		"Web.config":    `<configuration><appSettings><add key="Port" value="#{Port}"/></appSettings></configuration>`,
		"other.txt":     "#{Scheme}",
	})
	vars := variables("Scheme", "https", "Url", "#{Scheme}://new", "Port", "8080",
		"Octopus.Action.EnabledFeatures", "Octopus.Features.SubstituteInFiles,Octopus.Features.ConfigurationVariables, Octopus.Features.JsonConfigurationVariables",
		"Octopus.Action.SubstituteInFiles.TargetFiles", "conf\\*.json\r\n**/nothing.txt",
		"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings", "True",
		"Octopus.Action.Package.JsonConfigurationVariablesTargets", "conf/app.json\nconf")
	opts, err := configure.OptionsFrom(vars)
	if err != nil {
		t.Fatal(err)
	}
	dry := opts
	dry.DryRun = true
	would, err := configure.Run(open(t, dir), dry, vars, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "conf/app.json") != `{"Url": "#{Scheme}://old", "Port": 1}` {
		t.Error("the dry run wrote")
	}
	l := newLog(t)
	report, err := configure.Run(open(t, dir), opts, vars, l)
	if err != nil {
		t.Fatal(err)
	}
	wantJSON := "{\r\n  \"Url\": \"https://new\",\r\n  \"Port\": 8080\r\n}"
	if got := read(t, dir, "conf/app.json"); got != wantJSON {
		t.Errorf("app.json is %q", got)
	}
	wantXML := `<configuration><appSettings><add key="Port" value="8080"/></appSettings></configuration>`
	if got := read(t, dir, "Web.config"); got != wantXML {
		t.Errorf("Web.config is %q", got)
	}
	if read(t, dir, "other.txt") != "#{Scheme}" {
		t.Error("a file nobody named changed")
	}
	if len(l.warns) != 2 || !strings.Contains(l.warns[0], "nothing.txt") || !strings.Contains(l.warns[1], "'conf' is a folder") {
		t.Errorf("warnings %q", l.warns)
	}
	if fmt.Sprint(report.Changes) != fmt.Sprint(would.Changes) || len(report.Changes) != 3 {
		t.Errorf("changed %v, the dry run said %v", report.Changes, would.Changes)
	}
	if last := would.Changes[2]; string(last.After) != wantJSON || last.Path != "conf/app.json" || !slices.Equal(last.Variables, []string{"Port", "Url"}) {
		t.Errorf("the dry run ends with %+v", last)
	}
}

// Every failure names file, line and, where one is to blame, the variable, and
// leaves the file as it was.
func TestFailuresLeaveTheFile(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000)
	for name, c := range map[string]struct {
		file, text string
		opts       configure.Options
		want       []string
	}{
		"unsupported filter":  {"a.txt", "one\n#{x | Markdown}", substitute, []string{"a.txt, line 2", "filter Markdown"}},
		"a loop":              {"a.txt", "one\n\n#{loop}", substitute, []string{"a.txt, line 3", "loop -> loop"}},
		"strict":              {"a.txt", "#{x}\n#{nope}", strict, []string{"a.txt, line 2", "#{nope} has no value"}},
		"strict, unreadable":  {"a.txt", "#{x}\n#{", strict, []string{"a.txt, line 2", "cannot be read"}},
		"bad UTF-8 after BOM": {"a.txt", "\xef\xbb\xbf#{x}\n\xff", substitute, []string{"a.txt", "UTF-8", "line 2"}},   // abuse 56
		"broken UTF-16":       {"a.txt", "\xff\xfeab\x00\xd8c\x00", substitute, []string{"a.txt", "broken at byte 4"}}, // abuse 56
		"UTF-32":              {"a.txt", "\xff\xfe\x00\x00a\x00\x00\x00", substitute, []string{"a.txt", "UTF-32"}},
		"too large":           {"a.txt", strings.Repeat("x", configure.MaxFile+1), substitute, []string{"a.txt", "larger than 16 MiB"}}, // abuse 56
		"bad JSON":            {"a.json", "{\n\"x\": 1,\n\"y\" 2}", structured, []string{"a.json, line 3", "no JSON"}},
		"deep JSON":           {"a.json", strings.Repeat("[", 100_000), structured, []string{"a.json, line 1", "nested more than 64"}}, // abuse 58
		"JSON, then more":     {"a.json", "{\"x\":1}\n}", structured, []string{"a.json, line 2"}},                                      // abuse 58
		"a value that loops":  {"a.json", "{\n\"loop\": 1}", structured, []string{"a.json, line 2", "variable 'loop'", "loop -> loop"}},
		"YAML":                {"a.yaml", "x: 1\n", configure.Options{Structured: []string{"*"}}, []string{"a.yaml", "YAML structured values are not supported yet"}},
		"XML values":          {"a.xml", "<x/>", configure.Options{Structured: []string{"*"}}, []string{"a.xml", "XML structured values are not supported yet"}},
		"properties":          {"a.properties", "x=1", configure.Options{Structured: []string{"*"}}, []string{"Properties structured values are not supported yet"}},
		"bad XML":             {"a.config", "<a>\n<b></a>", settings, []string{"a.config, line 2", "</a>"}},
		"XML never closed":    {"a.config", "<a>\n<b>\n", settings, []string{"a.config, line 2", "<b> is never closed"}},
		"two roots":           {"a.config", "<a/>\n<b/>", settings, []string{"a.config, line 2"}},
		"deep XML":            {"a.config", deep, settings, []string{"a.config, line 1", "nested more than 256"}}, // abuse 60
		"unknown encoding":    {"a.config", `<?xml version="1.0" encoding="klingon"?><a/>`, settings, []string{"a.config", "klingon"}},
		"a character XML lacks": {
			"a.config", "<a><appSettings>\n<add key=\"bell\" value=\"\"/></appSettings></a>", settings,
			[]string{"a.config, line 2", "variable 'bell'", "U+0007"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{c.file: c.text})
			_, err := configure.Run(open(t, dir), c.opts, variables("x", "1", "loop", "#{loop}", "bell", "\a"), newLog(t))
			if resource.CodeOf(err) != resource.Invalid {
				t.Fatalf("error %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if read(t, dir, c.file) != c.text {
				t.Error("the file changed")
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

var (
	substitute = configure.Options{Substitute: []string{"*.txt"}}
	strict     = configure.Options{Substitute: []string{"*.txt"}, Strict: true}
	structured = configure.Options{Structured: []string{"*.json"}}
	settings   = configure.Options{Settings: true}
)

// abuse 56
func TestNothingOutsideOfTheFolder(t *testing.T) {
	t.Parallel()
	outside := folder(t, map[string]string{"secret.txt": "#{x}", "sub/secret.config": "<a/>"})
	dir := folder(t, map[string]string{"in/real.txt": "#{x}"})
	links := map[string]string{"link.txt": filepath.Join(outside, "secret.txt"), "out": outside, "alias": "in", "Web.config": filepath.Join(outside, "sub/secret.config")}
	for name, target := range links {
		err := os.Symlink(target, filepath.Join(dir, name))
		if _, there := os.Lstat(filepath.Join(dir, name)); err != nil || there != nil { // Wine only says that it makes them
			t.Skip("no symbolic links here:", err, there)
		}
	}
	for _, target := range []string{"../x.txt", "a/../../x.txt", filepath.ToSlash(outside) + "/secret.txt", `..\x.txt`, "C:/x.txt", "link.txt", "out/secret.txt", "out/*.txt", "alias/real.txt", "alias/*.txt"} {
		_, err := configure.Run(open(t, dir), configure.Options{Substitute: []string{target}}, variables("x", "1"), newLog(t))
		if err == nil {
			t.Errorf("%s was accepted", target)
		}
	}
	report, err := configure.Run(open(t, dir), configure.Options{Substitute: []string{"**/*eal.txt"}, Settings: true}, variables("x", "1"), newLog(t))
	if err != nil || len(report.Changes) != 1 || read(t, dir, "in/real.txt") != "1" {
		t.Errorf("changed %v, %v", report.Changes, err)
	}
	if read(t, outside, "secret.txt") != "#{x}" {
		t.Error("a file outside changed")
	}
}

// abuse 63: a file that two globs match is substituted once.
func TestAFileIsSubstitutedOnce(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.txt": "#{Out}"})
	vars := variables("Secret", "hush")
	vars.PutLiteral("Out", "#{Secret}")
	if _, err := configure.Run(open(t, dir), configure.Options{Substitute: []string{"a.txt", "*.txt", "./a.txt", "**/a.txt"}}, vars, newLog(t)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "a.txt"); got != "#{Secret}" {
		t.Errorf("got %q", got)
	}
}

func TestUnresolvedTokensAreListed(t *testing.T) {
	t.Parallel()
	text := "ok #{x}\n" + strings.Repeat("#{nope}\n", 30) + "#{"
	dir := folder(t, map[string]string{"a.txt": text})
	l := newLog(t)
	report, err := configure.Run(open(t, dir), substitute, variables("x", "1"), l)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "a.txt"); got != strings.Replace(text, "#{x}", "1", 1) {
		t.Errorf("got %q", got)
	}
	if len(report.Warnings) != 21 || !strings.Contains(report.Warnings[0], "a.txt, line 2") || !strings.Contains(report.Warnings[20], "11 more") {
		t.Errorf("%d warnings: %q", len(report.Warnings), report.Warnings)
	}
}

func TestSecretsMarkTheChangeAndStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.txt": "#{Password}", "b.txt": "#{Open}", "c.json": `{"Db":{"Pwd":"x"},"n":{}}`,
		"d.config": `<c><appSettings><add key="Password" value=""/></appSettings></c>`,
	})
	vars := variables("Open", "1", "Db:Pwd", "#{Password}", "n", "#{Password}")
	vars.PutSensitive("Password", "hush-hush")
	l := newLog(t)
	opts := configure.Options{Substitute: []string{"*.txt"}, Settings: true, Structured: []string{"*.json"}}
	report, err := configure.Run(open(t, dir), opts, vars, l)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Changes {
		if c.Sensitive != (c.Path != "b.txt") {
			t.Errorf("%s: sensitive %v", c, c.Sensitive)
		}
	}
	if len(report.Changes) != 4 || strings.Contains(strings.Join(l.warns, "\n"), "hush") || len(l.warns) != 1 {
		t.Errorf("%d changes, warnings %q", len(report.Changes), l.warns)
	}
}

func TestUnsupportedPropertiesFailByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		vars *template.Set
		want string
	}{
		{variables("Octopus.Action.EnabledFeatures", "Octopus.Features.ConfigurationTransforms",
			"Octopus.Action.Package.AutomaticallyRunConfigurationTransformationFiles", "True"), "XML transforms are not supported yet"},
		{variables("Octopus.Action.EnabledFeatures", "Octopus.Features.ConfigurationTransforms",
			"Octopus.Action.Package.AdditionalXmlConfigurationTransforms", "Foo.config => Web.config"), "XML transforms are not supported yet"},
		{variables("Octopus.Action.EnabledFeatures", "Octopus.Features.SubstituteInFiles", "Octopus.Action.AdditionalPaths", "/etc",
			"Octopus.Action.SubstituteInFiles.TargetFiles", "a"), "Additional paths"},
		{variables("Octopus.Action.EnabledFeatures", "Octopus.Features.SubstituteInFiles",
			"Octopus.Action.SubstituteInFiles.TargetFiles", "#{Files}"), "TargetFiles"},
		{variables("Octopus.Action.EnabledFeatures", "Octopus.Features.ConfigurationVariables",
			"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings", "perhaps"), "neither True nor False"},
	} {
		if _, err := configure.OptionsFrom(c.vars); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	off := variables("Octopus.Action.EnabledFeatures", "Octopus.Features.ConfigurationTransforms", "Octopus.Action.SubstituteInFiles.TargetFiles", "a")
	if opts, err := configure.OptionsFrom(off); err != nil || len(opts.Substitute) > 0 {
		t.Errorf("a feature that is off asks for %+v, %v", opts, err)
	}
}

func TestTheModeStaysAndStaleFilesGo(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"run.txt": "#{x}", ".run.txt.slipway-new": "left by a killed run", "same.txt": "same"})
	if err := os.Chmod(filepath.Join(dir, "run.txt"), 0o751); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(dir, "same.txt"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := configure.Run(open(t, dir), substitute, variables("x", "1"), newLog(t))
	if err != nil || len(report.Changes) != 1 {
		t.Fatal(report, err)
	}
	info, err := os.Stat(filepath.Join(dir, "run.txt"))
	if err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o751) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".run.txt.slipway-new")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the stale file is still there")
	}
	if after, err := os.Stat(filepath.Join(dir, "same.txt")); err != nil || !os.SameFile(before, after) {
		t.Error("a file without tokens was written again")
	}
}
