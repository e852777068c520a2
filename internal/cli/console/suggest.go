package console

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// DidYouMean is a sentence that names the nearest of the known names, or the
// few there are, or nothing. It starts with a blank.
func DidYouMean(ref string, names []string) string {
	if near := nearest(ref, names); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	if len(names) == 0 || len(names) > 8 {
		return ""
	}
	return " There is: " + strings.Join(names, ", ") + "."
}

func nearest(ref string, names []string) string {
	best, bestDistance := "", max(2, len([]rune(ref))/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(ref), strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the edits from a to b; two neighbours swapped are one edit.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

// FlagError makes a usage error of a flag error, with the flag that was
// probably meant.
func FlagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var names []string
		collect := func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		}
		cmd.Flags().VisitAll(collect)
		cmd.InheritedFlags().VisitAll(collect)
		if near := nearest(name, names); near != "" {
			text += fmt.Sprintf(". Did you mean --%s?", near)
		}
	}
	return Usagef("%s\nSee `%s --help`.", text, cmd.CommandPath())
}

// Group is a command that only holds others: without one of them it shows the
// help and fails, and an unknown one names the nearest.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:                use,
		Short:              short,
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return UnknownCommand(cmd, args[0])
			}
			cmd.SetOut(cmd.ErrOrStderr())
			if err := cmd.Help(); err != nil {
				return err
			}
			return &ExitError{Code: ExitUsage}
		},
	}
	group.AddCommand(commands...)
	return group
}

// UnknownCommand is the usage error for a command that does not exist, with the
// one that was probably meant.
func UnknownCommand(parent *cobra.Command, name string) error {
	var names []string
	for _, sub := range parent.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return Usagef("there is no command %q in `%s`.%s", name, parent.CommandPath(), DidYouMean(name, names))
}

// Adopt finishes the tree of commands: arguments that the commands did not ask
// for are usage errors, and an error before a command began is one, too.
func (c *Console) Adopt(root *cobra.Command) {
	root.SetFlagErrorFunc(FlagError)
	c.adopt(root)
}

func (c *Console) adopt(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			return run(cmd, args)
		}
		if cmd.Args == nil && !cmd.HasSubCommands() {
			cmd.Args = cobra.NoArgs
		}
	}
	for _, sub := range cmd.Commands() {
		c.adopt(sub)
	}
}
