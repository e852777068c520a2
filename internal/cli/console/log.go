package console

import (
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

// LogFlags are the flags of the commands that run for long and log.
type LogFlags struct {
	format, level string
}

// Bind declares --log-format and --log-level.
func (l *LogFlags) Bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.format, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&l.level, "log-level", "info", "debug, info, warn or error")
}

// Logger writes to out as the flags say.
func (l *LogFlags) Logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, Usagef("--log-level must be debug, info, warn or error, not %q", l.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch strings.ToLower(l.format) {
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	return nil, Usagef("--log-format must be text or json, not %q", l.format)
}
