package resource

import (
	"bytes"
	"encoding/json"
	"time"
)

// TimeFormat is the one form of dates on the wire and at rest: what a POST
// answers equals the later GET byte for byte (octopus-api.md 1.5).
const TimeFormat = "2006-01-02T15:04:05.000-07:00"

// Time is a moment in UTC with millisecond precision: Unix milliseconds. Zero
// means none and is JSON null.
type Time int64

// TimeOf cuts t to milliseconds; the zero time.Time is none.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// ParseTime reads any RFC 3339 form; a missing offset means UTC.
func ParseTime(text string) (Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return TimeOf(t), nil
		}
	}
	return 0, Errorf(Invalid, "'%.40s' is not a date. Write it like 2026-01-31T13:30:00.000+00:00.", text)
}

// Std is the moment as a time.Time in UTC; the zero time.Time for none.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// IsZero says that there is no moment.
func (t Time) IsZero() bool { return t == 0 }

// Before orders moments.
func (t Time) Before(o Time) bool { return t < o }

// Add shifts the moment; fractions of a millisecond are dropped.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub is the distance from o to t.
func (t Time) Sub(o Time) time.Duration { return time.Duration(t-o) * time.Millisecond }

func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(TimeFormat)
}

// MarshalJSON writes TimeFormat, or null for none.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(t.String())
}

// UnmarshalJSON reads what ParseTime reads; null and "" are none.
func (t *Time) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		*t = 0
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return Errorf(Invalid, "A date has to be a text like 2026-01-31T13:30:00.000+00:00.")
	}
	if text == "" {
		*t = 0
		return nil
	}
	parsed, err := ParseTime(text)
	*t = parsed
	return err
}
