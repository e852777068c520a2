package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// TimeSpan is a duration in .NET's words: "[d.]hh:mm:ss[.fffffff]" on the wire
// (octopus-api.md 1.5). Its resolution is 100 ns, as theirs is.
type TimeSpan time.Duration

const tick = 100 * time.Nanosecond

// ParseTimeSpan reads "[-][d.]hh:mm[:ss[.fffffff]]", a bare "d" for days, and
// leading zeros anywhere.
func ParseTimeSpan(text string) (TimeSpan, error) {
	bad := Errorf(Invalid, "'%.40s' is not a time span. Write it like 00:05:00, or 1.00:00:00 for a day.", text)
	rest := strings.TrimSpace(text)
	negative := strings.HasPrefix(rest, "-")
	rest = strings.TrimPrefix(rest, "-")
	parts := strings.Split(rest, ":")
	if len(parts) > 3 {
		return 0, bad
	}
	days, hours := "0", parts[0]
	if len(parts) == 1 {
		days, hours = parts[0], "0"
	} else if d, h, ok := strings.Cut(parts[0], "."); ok {
		days, hours = d, h
	}
	minutes, seconds, fraction := "0", "0", ""
	if len(parts) > 1 {
		minutes = parts[1]
	}
	if len(parts) > 2 {
		seconds, fraction, _ = strings.Cut(parts[2], ".")
	}
	total, ok := sumSpan(days, hours, minutes, seconds, fraction)
	if !ok {
		return 0, bad
	}
	if negative {
		total = -total
	}
	return TimeSpan(total), nil
}

func sumSpan(days, hours, minutes, seconds, fraction string) (time.Duration, bool) {
	var total time.Duration
	for _, part := range []struct {
		text string
		max  uint64
		unit time.Duration
	}{
		{days, uint64(math.MaxInt64/int64(24*time.Hour)) - 1, 24 * time.Hour},
		{hours, 23, time.Hour},
		{minutes, 59, time.Minute},
		{seconds, 59, time.Second},
	} {
		n, err := strconv.ParseUint(part.text, 10, 32)
		if err != nil || n > part.max {
			return 0, false
		}
		total += time.Duration(n) * part.unit
	}
	if fraction == "" {
		return total, true
	}
	if len(fraction) > 7 {
		return 0, false
	}
	n, err := strconv.ParseUint(fraction+strings.Repeat("0", 7-len(fraction)), 10, 32)
	return total + time.Duration(n)*tick, err == nil
}

// Duration is the span in Go's words.
func (s TimeSpan) Duration() time.Duration { return time.Duration(s) }

// String is .NET's canonical form: days only when there are any, the fraction
// with seven digits only when it is not zero.
func (s TimeSpan) String() string {
	d := time.Duration(s)
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	days := ""
	if n := d / (24 * time.Hour); n > 0 {
		days = fmt.Sprintf("%d.", n)
	}
	text := fmt.Sprintf("%s%s%02d:%02d:%02d", sign, days, d/time.Hour%24, d/time.Minute%60, d/time.Second%60)
	if f := d % time.Second / tick; f > 0 {
		text += fmt.Sprintf(".%07d", f)
	}
	return text
}

// MarshalJSON writes String.
func (s TimeSpan) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what ParseTimeSpan reads; null leaves the value alone,
// so that a default set before decoding stays.
func (s *TimeSpan) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return Errorf(Invalid, "A time span has to be a text like 00:05:00.")
	}
	parsed, err := ParseTimeSpan(text)
	*s = parsed
	return err
}
