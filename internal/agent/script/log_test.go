package script_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/agent/script"
)

const stars = "********"

func clock() time.Time { return time.UnixMilli(1000) }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// logOf writes pieces to stdout, or to stderr those that start with '!', and
// returns the records without their equal times.
func logOf(t *testing.T, o script.LogOptions, pieces ...string) ([]string, *script.Log) {
	t.Helper()
	var out bytes.Buffer
	o.Out, o.Clock = &out, clock
	log := script.NewLog(o)
	for _, piece := range pieces {
		rest, isError := strings.CutPrefix(piece, "!")
		w := log.Stdout()
		if isError {
			w = log.Stderr()
		}
		if _, err := io.WriteString(w, rest); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var records []string
	for line := range strings.Lines(out.String()) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "1000\t")
		if !ok {
			t.Fatalf("record %q", line)
		}
		records = append(records, strings.Replace(rest, "\t", "|", 1))
	}
	return records, log
}

func TestRecords(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		pieces []string
		want   []string
	}{
		"lines":        {[]string{"one\ntw", "o\r\n\nend"}, []string{"Info|one", "Info|two", "Info|", "Info|end"}},
		"both streams": {[]string{"out\n", "!err\n", "!more"}, []string{"Info|out", "Error|err", "Error|more"}},
		"levels": {
			[]string{"a\n##octopus[stdout-verbose]\nb\n##octopus[stdout-warning]\r\nc\n##octopus[stdout-default]\nd\n"},
			[]string{"Info|a", "Verbose|b", "Warning|c", "Info|d"},
		},
		"split message":    {[]string{"##oct", "opus[stdout-high", "light]", "\n", "b\n"}, []string{"Highlight|b"}},
		"message in line":  {[]string{"a ##octopus[stdout-wait] b\nc\n"}, []string{"Info|a  b", "Wait|c"}},
		"three hashes":     {[]string{"###octopus[stdout-wait]\nx\n"}, []string{"Info|#", "Wait|x"}},
		"no message":       {[]string{"# ## ##octo ##octopus(\n##octopus[unclosed\nx\n##"}, []string{"Info|# ## ##octo ##octopus(", "Info|##octopus[unclosed", "Info|x", "Info|##"}},
		"progress":         {[]string{fmt.Sprintf("##octopus[progress percentage='%s' message=\"%s\"]\n", b64("140"), b64("half"))}, []string{"Progress|100 half"}},
		"stderr as info":   {[]string{"!##octopus[stderr-progress]\nx\n"}, []string{"Verbose|x"}},
		"unknown":          {[]string{"##octopus[teapot]\n"}, []string{"Verbose|The service message teapot means nothing here and was left out."}},
		"not base64":       {[]string{"##octopus[setVariable name='ä' value='!']\n"}, []string{"Warning|A service message could not be read and was left out: its values have to be base64 in quotes."}},
		"colours":          {[]string{"\x1b[1;31mred\x1b[0m \x1b[38;5;8mx \x1b[38;2;5;6;8;1mx\x1b[m\n"}, []string{"Info|\x1b[1;31mred\x1b[0m \x1b[38;5;8mx \x1b[38;2;5;6;8;1mx\x1b[m"}},
		"escapes (76)":     {[]string{"\x1b]0;title\x07\x1b[2A\x1b[8mhid\x1b]8;;http://x\x1b\\l\n"}, []string{`Info|\x1b]0;title\x07\x1b[2A\x1b[8mhid\x1b]8;;http://x\x1b\l`}},
		"overwriting (76)": {[]string{"good\rbad\n\x9b1A\u009b1A\x7f\b\n"}, []string{`Info|good\rbad`, "Info|\uFFFD1A" + `\u009b1A\x7f\x08`}},
		"markup (76)":      {[]string{"<script>alert(1)</script>\tx\n"}, []string{"Info|<script>alert(1)</script>\tx"}},
		"not UTF-8 (59)":   {[]string{"a\xffb\xc3\n\xe2\x82", "\xac\n"}, []string{"Info|a\uFFFDb\uFFFD", "Info|€"}},
	}
	for name, c := range cases {
		got, _ := logOf(t, script.LogOptions{}, c.pieces...)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var bytewise []string
		for _, piece := range c.pieces {
			rest, isError := strings.CutPrefix(piece, "!")
			for i := range len(rest) {
				one := rest[i : i+1]
				if isError {
					one = "!" + one
				}
				bytewise = append(bytewise, one)
			}
		}
		if got, _ := logOf(t, script.LogOptions{}, bytewise...); !cmp.Equal(c.want, got) {
			t.Errorf("%s, byte by byte: %s", name, cmp.Diff(c.want, got))
		}
	}
}

func TestErrorOutputIsPerScript(t *testing.T) {
	t.Parallel()
	log := script.NewLog(script.LogOptions{Out: io.Discard, Clock: clock})
	fmt.Fprintln(log.Stderr(), "  ")
	if log.EndScript().ErrorOutput {
		t.Error("white space counts as error output")
	}
	fmt.Fprint(log.Stderr(), "oops")
	if !log.EndScript().ErrorOutput || log.EndScript().ErrorOutput {
		t.Error("error output is not of one script")
	}
	fmt.Fprintln(log.Stderr(), "##octopus[stderr-progress]\nfine")
	if log.EndScript().ErrorOutput {
		t.Error("what a script declares to be progress counts as error output")
	}
}

func TestSecretsAreMaskedInRecords(t *testing.T) {
	t.Parallel()
	got, log := logOf(
		t, script.LogOptions{Secrets: []string{"hunter22"}},
		"pw hunter22\nsplit hun", "ter22\n##octopus[stdout-verbose]\nhun\nter22\n", "!"+b64("hunter22")+"\n",
	)
	want := []string{"Info|pw " + stars, "Info|split " + stars, "Verbose|" + stars, "Verbose|" + stars, "Error|" + stars}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if log.Mask("x hunter22") != "x "+stars {
		t.Error("Mask does not mask")
	}
}

func TestOutputVariables(t *testing.T) {
	t.Parallel()
	set := func(name, value, rest string) string {
		return fmt.Sprintf("##octopus[setVariable name='%s' value='%s'%s]\n", b64(name), b64(value), rest)
	}
	records, log := logOf(
		t, script.LogOptions{Secrets: []string{"hunter22"}},
		set("A", "1", ""), set("B", "multi\nline ü", ""), set("a", "2", ""), set("S", "new-secret", " sensitive='"+b64("True")+"'"),
		"new-secret\n", set("Taint", "pre-hunter22", ""), set("", "x", ""),
		fmt.Sprintf("##octopus[createArtifact path='%s' name='%s' length='%s']\n", b64("/tmp/x y.txt"), b64("n"), b64("3")),
		fmt.Sprintf("##octopus[createArtifact path='%s']\n", b64(`C:\logs\a.txt`)),
	)
	got := log.Collected()
	want := script.Collected{
		Outputs: []script.Output{
			{Name: "a", Value: "2"},
			{Name: "B", Value: "multi\nline ü"},
			{Name: "S", Value: "new-secret", Sensitive: true},
			{Name: "Taint", Value: "pre-hunter22", Sensitive: true}, // abuse 73
		},
		Artifacts: []script.Artifact{{Name: "n", Path: "/tmp/x y.txt"}, {Name: "a.txt", Path: `C:\logs\a.txt`}},
		Warned:    true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Info|" + stars, "Warning|An output variable without a usable name was left out."}, records); diff != "" {
		t.Error(diff)
	}
}

func TestFailureMessage(t *testing.T) {
	t.Parallel()
	log := script.NewLog(script.LogOptions{Out: io.Discard, Clock: clock, Secrets: []string{"hunter22"}})
	fmt.Fprintf(log.Stdout(), "##octopus[resultMessage message='%s']\n", b64("because of hunter22"))
	if got := log.EndScript().Failure; got != "because of "+stars {
		t.Error(got)
	}
	if got := log.EndScript().Failure; got != "" {
		t.Error(got)
	}
}

// What the agent says stands before what a script says after it.
func TestOwnLinesAreNotHeldBack(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := script.NewLog(script.LogOptions{Out: &out, Clock: clock, Secrets: []string{"hunter22"}})
	log.Print(script.Verbose, "Running x.sh hunter22\nh\n")
	fmt.Fprintln(log.Stdout(), "output")
	if got := out.String(); got != "1000\tVerbose\tRunning x.sh "+stars+"\n1000\tVerbose\th\n1000\tInfo\toutput\n" {
		t.Errorf("%q", got)
	}
}

// abuse 77: with a nonce, what other programs print is not obeyed.
func TestForgedMessages(t *testing.T) {
	t.Parallel()
	o := script.LogOptions{Nonce: "n0nce"}
	records, log := logOf(
		t, o, fmt.Sprintf("##octopus[setVariable name='%s' value='%s']\n", b64("A"), b64("forged")),
		fmt.Sprintf("##octopus[setVariable name='%s' value='%s' nonce='%s']\n", b64("A"), b64("own"), b64("n0nce")),
	)
	if got := log.Collected().Outputs; len(got) != 1 || got[0].Value != "own" {
		t.Error(got)
	}
	if len(records) != 1 || !strings.HasPrefix(records[0], "Warning|The service message setVariable was ignored") {
		t.Error(records)
	}
}

func TestLongLinesAreSplit(t *testing.T) {
	t.Parallel()
	line := "x" + strings.Repeat("ü", 50_000)
	got, _ := logOf(t, script.LogOptions{}, line[:70_001], line[70_001:]+"\nnext\n")
	if len(got) != 3 || got[2] != "Info|next" {
		t.Fatal(len(got))
	}
	joined := strings.TrimPrefix(got[0], "Info|") + strings.TrimPrefix(got[1], "Info|")
	if joined != line || len(got[0]) > 64<<10+len("Info|") {
		t.Errorf("%d %d", len(got[0]), len(joined))
	}
}

// abuse 14: never more than the quota, and the marker says so.
func TestQuota(t *testing.T) {
	t.Parallel()
	for _, quota := range []int64{4000, 300_000} {
		var out bytes.Buffer
		log := script.NewLog(script.LogOptions{Out: &out, Clock: clock, Quota: quota})
		for range 1000 {
			fmt.Fprintln(log.Stdout(), strings.Repeat("x", 1000))
		}
		fmt.Fprintf(log.Stdout(), "##octopus[setVariable name='%s' value='%s']\n", b64("A"), b64("late"))
		log.Print(script.Fatal, "last words")
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if int64(out.Len()) > quota || out.Len() < int(quota)/5 {
			t.Errorf("%d bytes of %d", out.Len(), quota)
		}
		if strings.Count(out.String(), "cut off here") != 1 || !strings.HasSuffix(out.String(), "1000\tFatal\tlast words\n") {
			t.Errorf("%q", out.String()[out.Len()-300:])
		}
		if got := log.Collected(); len(got.Outputs) != 1 || !got.Warned {
			t.Error(got)
		}
	}
}

func TestHugeMessageIsText(t *testing.T) {
	t.Parallel()
	got, log := logOf(t, script.LogOptions{}, "##octopus[setVariable name='"+strings.Repeat("A", 5<<20)+"']\n")
	if len(log.Collected().Outputs) != 0 || len(got) < 80 {
		t.Error(len(got))
	}
	forms := make([]string, 0, 1200)
	for i := range 1200 {
		forms = append(forms, fmt.Sprintf("##octopus[setVariable name='%s' value='%s']\n", b64(fmt.Sprint(i)), b64("v")))
	}
	if _, log := logOf(t, script.LogOptions{}, forms...); len(log.Collected().Outputs) != 1000 {
		t.Error(len(log.Collected().Outputs))
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return 0, errors.New("no space left on device")
	}
	d.room -= len(p)
	return len(p), nil
}

// fault 20: the script is not held up, and the error is known at the end.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	log := script.NewLog(script.LogOptions{Out: &fullDisk{room: 100}, Clock: clock})
	for range 100 {
		if n, err := fmt.Fprintln(log.Stdout(), "some output"); n != 12 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := log.Close(); err == nil {
		t.Error("the error is lost")
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("a\n##octopus[stdout-verbose]\nb\x1b[31m\r\n"), uint8(3))
	f.Add([]byte("##octopus[setVariable name='YQ==' value='Yg==']\nhunter22 hun\nter22"), uint8(1))
	f.Add([]byte("\xff\x9b##octopus[x y='"), uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		var out bytes.Buffer
		log := script.NewLog(script.LogOptions{Out: &out, Clock: clock, Secrets: []string{"hunter22"}})
		for n := max(int(step), 1); len(raw) > 0; raw = raw[min(n, len(raw)):] {
			if _, err := log.Stdout().Write(raw[:min(n, len(raw))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
			if len(parts) != 3 || parts[0] != "1000" || strings.ContainsAny(parts[2], "\r\a\b\u009b\x00") {
				t.Fatalf("record %q", line)
			}
		}
		if strings.Contains(out.String(), "hunter22") {
			t.Fatalf("secret in %q", out.String())
		}
	})
}

func BenchmarkLog(b *testing.B) {
	log := script.NewLog(script.LogOptions{Out: io.Discard, Clock: clock, Quota: 1 << 60, Secrets: []string{"hunter22", "correct horse battery"}})
	chunk := []byte(strings.Repeat("2024-05-06T07:08:09Z INFO  request served path=/api/v1/things/42 status=200 duration=12ms\n", 350))
	out := log.Stdout()
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := out.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
