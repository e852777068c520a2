package configure

import (
	"testing"

	"github.com/slipwayhq/slipway/internal/template"
)

type quiet struct{}

func (quiet) Info(string) {}
func (quiet) Warn(string) {}

func testRun(vars *template.Set) *run {
	return &run{vars: vars, values: map[string]value{}, log: quiet{}}
}

// EditSettings is what settings do to the bytes of a file.
func EditSettings(t *testing.T, raw []byte, vars *template.Set) ([]byte, Change, error) {
	t.Helper()
	return testRun(vars).editSettings("a.config", raw)
}

// EditStructured is what structured values do to the bytes of a file.
func EditStructured(t *testing.T, raw []byte, vars *template.Set) ([]byte, Change, error) {
	t.Helper()
	return testRun(vars).editStructured("a.json", raw)
}
