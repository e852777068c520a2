package configure

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"github.com/slipwayhq/slipway/internal/template"
)

// Log takes the lines that go into the attempt's log. They name files, lines
// and variables, never values.
type Log interface {
	Info(line string)
	Warn(line string)
}

// The features, as reports and logs name them.
const (
	FeatureSubstitute = "substitute variables in files"
	FeatureSettings   = ".NET settings"
	FeatureStructured = "structured values"
)

// Change is one file that one feature changed, or would change in a dry run.
type Change struct {
	Path      string // slash-separated, relative to the folder
	Feature   string
	Variables []string // whose values were written, for settings and structured values
	Sensitive bool     // a secret went into it: After must not be shown
	Before    []byte   // of a dry run
	After     []byte   // of a dry run
}

// Report says what was done.
type Report struct {
	Changes  []Change
	Warnings []string
}

// Run configures the files below root. On an error the report holds what was
// done before it.
func Run(root *os.Root, opts Options, vars *template.Set, log Log) (Report, error) {
	r := &run{files: newFiles(root, opts.DryRun), opts: opts, vars: vars, values: map[string]value{}, log: log}
	for _, stage := range []func() error{r.substitute, r.settings, r.structured} {
		if err := stage(); err != nil {
			return r.report, err
		}
	}
	return r.report, nil
}

type run struct {
	files  *files
	opts   Options
	vars   *template.Set
	values map[string]value // evaluated once each, by name
	log    Log
	report Report
}

func (r *run) warn(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.report.Warnings = append(r.report.Warnings, line)
	r.log.Warn(line)
}

func (r *run) info(format string, args ...any) { r.log.Info(fmt.Sprintf(format, args...)) }

// finish writes a file if its bytes changed and reports it.
func (r *run) finish(c Change, f *file, after []byte) error {
	if bytes.Equal(f.raw, after) {
		r.info("%s: %s: nothing to change", c.Path, c.Feature)
		return nil
	}
	if err := r.files.replace(f, after); err != nil {
		return fileError(c.Path, 0, "", err)
	}
	if r.opts.DryRun {
		c.Before, c.After = f.raw, after
	}
	slices.Sort(c.Variables)
	c.Variables = slices.Compact(c.Variables)
	r.report.Changes = append(r.report.Changes, c)
	r.info("%s: %s: %s", c.Path, c.Feature, count(len(c.Variables)))
	return nil
}

func count(values int) string {
	switch values {
	case 0:
		return "changed"
	case 1:
		return "1 value written"
	}
	return fmt.Sprintf("%d values written", values)
}
