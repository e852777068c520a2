package template

import (
	"strconv"
	"strings"
	"time"
)

// instant is a date as text had it: with an offset, in UTC, or with neither.
type instant struct {
	time.Time
	zoned bool // an offset or Z was there
}

// dateLayouts are the forms a date may have; white space and T are the same.
func dateLayouts() []string {
	return []string{
		"2006-1-2", "2006/1/2", "1/2/2006", "2 Jan 2006", "Jan 2, 2006", "2 January 2006", "January 2, 2006",
		"Mon, 02 Jan 2006", "Monday, 02 January 2006",
	}
}

// parseDate reads a date with an optional time and zone, month before day where
// only numbers are given.
func parseDate(text string) (instant, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 64 {
		return instant{}, false
	}
	for _, date := range dateLayouts() {
		for _, clock := range []string{"", " 15:4:5.999999999", " 15:4", " 3:4:5 PM", " 3:4 PM"} {
			for _, gap := range []string{" ", "T"} {
				if clock == "" && gap == "T" {
					continue
				}
				layout := date + strings.Replace(clock, " ", gap, 1)
				if t, err := time.Parse(layout, text); err == nil {
					return instant{Time: t}, true
				}
				for _, zone := range []string{"Z07:00", " Z07:00", " MST"} {
					if t, err := time.Parse(layout+zone, text); err == nil && (zone != " MST" || strings.HasSuffix(text, " GMT")) {
						return instant{Time: t, zoned: true}, true
					}
				}
			}
		}
	}
	return instant{}, false
}

// roundTrip is .NET's "O" format.
func (i instant) roundTrip() string {
	text := i.Format("2006-01-02T15:04:05.0000000")
	switch {
	case !i.zoned:
		return text
	case i.Location() == time.UTC:
		return text + "Z"
	}
	return text + i.Format("-07:00")
}

// shift is AddHours and AddDays.
func shift(unit time.Duration) filter {
	return func(in string, has bool, options []string) (string, bool, error) {
		if !has || len(options) != 1 {
			return "", false, nil
		}
		date, ok := parseDate(in)
		amount, err := strconv.ParseFloat(strings.TrimSpace(options[0]), 64)
		const most = 10_000 * 366 * 24 // hours; beyond, no year has a number
		if hours := amount * unit.Hours(); !ok || err != nil || !(hours > -most && hours < most) {
			return "", false, nil //nolint:nilerr // no number or date: no result (configuration.md 1.11)
		}
		days := int(amount * unit.Hours() / 24) // a Duration holds 292 years only
		rest := time.Duration((amount*unit.Hours() - float64(days)*24) * float64(time.Hour))
		date.Time = date.AddDate(0, 0, days).Add(rest.Round(100 * time.Nanosecond))
		if date.Year() < 1 || date.Year() > 9999 {
			return "", false, nil
		}
		return date.roundTrip(), true, nil
	}
}

// formatDate writes a date by a .NET format string: the standard letters d D f
// F g G m M o O r R s t T u y Y, or a custom one of d f F g h H K m M s t y z,
// quotes, backslash and percent, in the invariant culture. A date without a
// zone counts as UTC.
func formatDate(i instant, format string) (string, error) {
	if len(format) == 1 {
		custom, ok := standardDate(format[0])
		if !ok {
			return "", errDateFormat()
		}
		switch format[0] {
		case 'o', 'O':
			return i.roundTrip(), nil
		case 'r', 'R', 'u':
			i.Time = i.UTC()
		}
		format = custom
	}
	var b strings.Builder
	for pos := 0; pos < len(format); {
		c := format[pos]
		switch c {
		case '\'', '"':
			end := strings.IndexByte(format[pos+1:], c)
			if end < 0 {
				return "", errDateFormat()
			}
			b.WriteString(format[pos+1 : pos+1+end])
			pos += end + 2
			continue
		case '\\':
			if pos+1 < len(format) {
				b.WriteByte(format[pos+1])
			}
			pos += 2
			continue
		case '%':
			pos++
			continue
		}
		run := 1
		for pos+run < len(format) && format[pos+run] == c {
			run++
		}
		if text, ok := i.field(c, run); ok {
			b.WriteString(text)
		} else {
			b.WriteString(format[pos : pos+run])
		}
		pos += run
	}
	return b.String(), nil
}

// The error does not quote the format: it may come out of a secret.
func errDateFormat() error {
	return &UnsupportedError{Construct: "filter Format with a date format that has an unknown letter or an open quote"}
}

func standardDate(c byte) (string, bool) {
	switch c {
	case 'd':
		return "MM/dd/yyyy", true
	case 'D':
		return "dddd, dd MMMM yyyy", true
	case 'f':
		return "dddd, dd MMMM yyyy HH:mm", true
	case 'F':
		return "dddd, dd MMMM yyyy HH:mm:ss", true
	case 'g':
		return "MM/dd/yyyy HH:mm", true
	case 'G':
		return "MM/dd/yyyy HH:mm:ss", true
	case 'm', 'M':
		return "MMMM dd", true
	case 'o', 'O':
		return "", true
	case 'r', 'R':
		return "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'", true
	case 's':
		return "yyyy'-'MM'-'dd'T'HH':'mm':'ss", true
	case 't':
		return "HH:mm", true
	case 'T':
		return "HH:mm:ss", true
	case 'u':
		return "yyyy'-'MM'-'dd HH':'mm':'ss'Z'", true
	case 'y', 'Y':
		return "yyyy MMMM", true
	}
	return "", false
}

// field writes one specifier, repeated run times.
func (i instant) field(c byte, run int) (string, bool) {
	switch c {
	case 'd':
		return [...]string{i.Format("2"), i.Format("02"), i.Format("Mon"), i.Weekday().String()}[min(run, 4)-1], true
	case 'M':
		return [...]string{i.Format("1"), i.Format("01"), i.Format("Jan"), i.Month().String()}[min(run, 4)-1], true
	case 'y':
		if run <= 2 {
			return padded(i.Year()%100, run), true
		}
		return padded(i.Year(), run), true
	case 'H':
		return padded(i.Hour(), min(run, 2)), true
	case 'h':
		return padded((i.Hour()+11)%12+1, min(run, 2)), true
	case 'm':
		return padded(i.Minute(), min(run, 2)), true
	case 's':
		return padded(i.Second(), min(run, 2)), true
	case 'f', 'F':
		digits := padded(i.Nanosecond()/100, 7)[:min(run, 7)]
		if c == 'F' {
			digits = strings.TrimRight(digits, "0")
		}
		return digits, true
	case 't':
		return i.Format("PM")[:min(run, 2)], true
	case 'g':
		return "A.D.", true
	case 'K':
		if !i.zoned {
			return "", true
		}
		return i.Format("Z07:00"), true
	case 'z':
		return i.offset(run), true
	}
	return "", false
}

func (i instant) offset(run int) string {
	switch run {
	case 1:
		sign := i.Format("-07")[:1]
		return sign + strings.TrimPrefix(i.Format("-07")[1:], "0")
	case 2:
		return i.Format("-07")
	}
	return i.Format("-07:00")
}

func padded(n, width int) string {
	text := strconv.Itoa(n)
	return strings.Repeat("0", max(width-len(text), 0)) + text
}
