package template

import (
	"math/big"
	"strconv"
	"strings"
)

// format writes a number or a date by a .NET format string, of which a subset
// is known: see formatDate and formatNumber. With one option a number is tried
// first.
func format(in string, has bool, options []string) (string, bool, error) {
	if !has || len(options) == 0 || len(options) > 2 {
		return "", false, nil
	}
	kind, layout := "", options[len(options)-1]
	if len(options) == 2 {
		kind = strings.ToLower(options[0])
	}
	switch kind {
	case "int", "int32":
		if _, err := strconv.ParseInt(strings.TrimSpace(in), 10, 32); err != nil {
			return "", false, nil //nolint:nilerr // unparsable: no result (configuration.md 1.11)
		}
		return formatAsNumber(in, layout)
	case "double", "decimal":
		return formatAsNumber(in, layout)
	case "date", "datetime", "datetimeoffset":
		return formatAsDate(in, layout)
	case "":
		if _, ok := parseDecimal(in); ok {
			return formatAsNumber(in, layout)
		}
		return formatAsDate(in, layout)
	}
	return "", false, nil
}

func formatAsDate(in, layout string) (string, bool, error) {
	date, ok := parseDate(in)
	if !ok {
		return "", false, nil
	}
	text, err := formatDate(date, layout)
	return text, err == nil, err
}

func formatAsNumber(in, layout string) (string, bool, error) {
	n, ok := parseDecimal(in)
	if !ok {
		return "", false, nil
	}
	text, err := formatNumber(n, layout)
	return text, err == nil, err
}

// parseDecimal reads a decimal number exactly; thousands may be separated.
func parseDecimal(text string) (*big.Rat, bool) {
	text = strings.ReplaceAll(strings.TrimSpace(text), ",", "")
	if text == "" || len(text) > 40 || strings.Trim(text, "0123456789+-.") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

const maxPrecision = 99

// The error does not quote the format: it may come out of a secret.
func errNumberFormat() error {
	return &UnsupportedError{Construct: "filter Format with a number format other than D, F, N, P, X, G or one of 0 # , . %"}
}

// formatNumber knows the standard formats D F N P X and G, each with a
// precision, and custom ones of 0 # . , and %, with literal text around them.
func formatNumber(n *big.Rat, layout string) (string, error) {
	if layout == "" {
		return plainDecimal(n), nil
	}
	precision, err := strconv.Atoi(layout[1:])
	given := err == nil
	if !given {
		precision = 2
	}
	if precision < 0 || precision > maxPrecision || (len(layout) > 1 && !given) || !isLetter(layout[0]) {
		return customNumber(n, layout)
	}
	switch layout[0] {
	case 'D', 'd', 'X', 'x':
		if n.IsInt() {
			return integer(n, layout[0], precision, given), nil
		}
	case 'F', 'f':
		return n.FloatString(precision), nil
	case 'N', 'n':
		return grouped(n.FloatString(precision)), nil
	case 'P', 'p':
		return grouped(new(big.Rat).Mul(n, big.NewRat(100, 1)).FloatString(precision)) + " %", nil
	case 'G', 'g':
		if !given {
			return plainDecimal(n), nil
		}
	}
	return "", errNumberFormat()
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func integer(n *big.Rat, form byte, digits int, given bool) string {
	base := 10
	if form|0x20 == 'x' {
		base = 16
	}
	text := new(big.Int).Abs(n.Num()).Text(base)
	if form == 'X' {
		text = strings.ToUpper(text)
	}
	if given {
		text = strings.Repeat("0", max(digits-len(text), 0)) + text
	}
	if n.Sign() < 0 {
		text = "-" + text
	}
	return text
}

// plainDecimal is the number with as many digits as it has.
func plainDecimal(n *big.Rat) string {
	text := n.FloatString(40)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// grouped separates thousands.
func grouped(text string) string {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	var b strings.Builder
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return sign + b.String()
}

// customNumber knows one section of 0 and #, with a point, grouping commas and
// a percent sign, and text before and after it.
func customNumber(n *big.Rat, layout string) (string, error) {
	start := strings.IndexAny(layout, "0#")
	end := strings.LastIndexAny(layout, "0#") + 1
	if start < 0 || len(layout) > 100 || strings.ContainsAny(layout, `;'"\`+"‰") || strings.ContainsAny(layout[:start]+layout[end:], ".,") {
		return "", errNumberFormat()
	}
	pattern := layout[start:end]
	if strings.Trim(pattern, "0#.,") != "" || strings.Count(pattern, ".") > 1 {
		return "", errNumberFormat()
	}
	if strings.Contains(layout, "%") {
		n = new(big.Rat).Mul(n, big.NewRat(100, 1))
	}
	whole, fraction, _ := strings.Cut(pattern, ".")
	text := n.FloatString(len(fraction))
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	digits, decimals, _ := strings.Cut(text, ".")
	for keep := len(strings.TrimRight(fraction, "#")); len(decimals) > keep && strings.HasSuffix(decimals, "0"); {
		decimals = decimals[:len(decimals)-1]
	}
	least := 0
	if i := strings.IndexByte(whole, '0'); i >= 0 {
		least = strings.Count(whole[i:], "0") + strings.Count(whole[i:], "#")
	}
	digits = strings.TrimLeft(digits, "0")
	digits = strings.Repeat("0", max(least-len(digits), 0)) + digits
	if strings.Contains(whole, ",") {
		digits = grouped(digits)
	}
	if decimals != "" {
		digits += "." + decimals
	}
	if strings.Trim(digits, "0.,") == "" {
		sign = ""
	}
	return sign + layout[:start] + digits + layout[end:], nil
}
