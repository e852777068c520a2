package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Format is how results are printed. It is a flag value.
type Format string

// The formats. Table is for people, Basic for pipes (one id or name a line),
// JSON for programs: its form is stable.
const (
	Table Format = "table"
	JSON  Format = "json"
	Basic Format = "basic"
)

// Set implements pflag.Value.
func (f *Format) Set(text string) error {
	switch format := Format(strings.ToLower(text)); format {
	case Table, JSON, Basic:
		*f = format
		return nil
	}
	return fmt.Errorf("must be table, json or basic")
}

func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *Format) Type() string { return "format" }

// Result is what a command found or did, in all three forms.
type Result struct {
	// Columns and Rows are the table; no Columns means Lines are printed.
	Columns []string
	Rows    [][]string
	// Lines are printed for people where a table says less than a sentence.
	Lines []string
	// Basic are the lines of the basic format.
	Basic []string
	// JSON is encoded as it is.
	JSON any
}

// Print writes a result to standard output in the chosen format.
func (c *Console) Print(r Result) error {
	var b strings.Builder
	switch c.Format {
	case JSON:
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r.JSON); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	case Basic:
		for _, line := range r.Basic {
			b.WriteString(Printable(line) + "\n")
		}
	case Table:
		writeTable(&b, r)
	}
	if _, err := c.Out.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	return nil
}

// Notef tells the user something on standard error, unless --quiet.
func (c *Console) Notef(format string, args ...any) {
	if !c.Quiet {
		fmt.Fprintf(c.Err, format+"\n", args...)
	}
}

func writeTable(b *strings.Builder, r Result) {
	for _, line := range r.Lines {
		b.WriteString(Printable(line) + "\n")
	}
	if len(r.Columns) == 0 {
		return
	}
	rows := make([][]string, 0, len(r.Rows)+1)
	rows = append(rows, r.Columns)
	for _, row := range r.Rows {
		clean := make([]string, len(row))
		for i, cell := range row {
			clean[i] = strings.ReplaceAll(Printable(cell), "\n", " ")
		}
		rows = append(rows, clean)
	}
	widths := make([]int, len(r.Columns))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// Printable drops what could steer a terminal from text of others: names,
// messages and log lines come from machines and people we do not know.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0, r == utf8.RuneError,
			// Direction overrides make text read other than it is.
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, text)
}
