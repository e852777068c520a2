package resource_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Dates have one form, whatever they came as (octopus-api.md 1.5).
func TestTimeForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"2026-01-02T03:04:05.678+00:00"`:     `"2026-01-02T03:04:05.678+00:00"`,
		`"2026-01-02T05:04:05.6789+02:00"`:    `"2026-01-02T03:04:05.678+00:00"`,
		`"2026-01-02T03:04:05Z"`:              `"2026-01-02T03:04:05.000+00:00"`,
		`"2026-01-02T03:04:05.1"`:             `"2026-01-02T03:04:05.100+00:00"`,
		`"2026-01-02"`:                        `"2026-01-02T00:00:00.000+00:00"`,
		`null`:                                `null`,
		`""`:                                  `null`,
		`"9999-12-31T23:59:59.9999999+00:00"`: `"9999-12-31T23:59:59.999+00:00"`,
	} {
		var v resource.Time
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if out, err := json.Marshal(v); err != nil || string(out) != want {
			t.Errorf("%s became %s, %v; want %s", in, out, err, want)
		}
	}
	var v resource.Time
	for _, in := range []string{`"yesterday"`, `5`, `"2026-13-01T00:00:00Z"`} {
		if err := json.Unmarshal([]byte(in), &v); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestTimeSpanForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"00:05:00":         "00:05:00",
		"01.00:00:00":      "1.00:00:00", // as the Go SDK writes it (octopus-api.md 2.16)
		"0:0:1":            "00:00:01",
		"2":                "2.00:00:00",
		"12:30":            "12:30:00",
		"00:00:00.25":      "00:00:00.2500000",
		"-1.02:03:04.5":    "-1.02:03:04.5000000",
		"10.23:59:59":      "10.23:59:59",
		"\t00:00:01\n":     "00:00:01",
		"00:00:00.0000001": "00:00:00.0000001",
	} {
		span, err := resource.ParseTimeSpan(in)
		if err != nil || span.String() != want {
			t.Errorf("%q became %s, %v; want %s", in, span, err, want)
		}
	}
	for _, in := range []string{"", "24:00:00", "00:60:00", "1.2.3", "a:b:c", "00:00:00.12345678", "9999999999", "+1", "1:2:3:4", "106752.00:00:00"} {
		if span, err := resource.ParseTimeSpan(in); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%q became %s, %v", in, span, err)
		}
	}
}

func FuzzTimeSpan(f *testing.F) {
	for _, seed := range []string{"00:05:00", "1.00:00:00", "-1.02:03:04.5", "12:30", "2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		span, err := resource.ParseTimeSpan(in)
		if err != nil {
			return
		}
		again, err := resource.ParseTimeSpan(span.String())
		if err != nil || again != span {
			t.Errorf("%q is %d, its form %s is %d, %v", in, span, span, again, err)
		}
	})
}

func TestTimeArithmetic(t *testing.T) {
	t.Parallel()
	at := resource.TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 6_700_000, time.UTC))
	if later := at.Add(time.Minute); later.Sub(at) != time.Minute || !at.Before(later) {
		t.Errorf("%s and a minute is %s", at, later)
	}
	if !resource.TimeOf(time.Time{}).IsZero() || !resource.Time(0).Std().IsZero() {
		t.Error("no moment became one")
	}
}
