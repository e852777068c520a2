package packaging

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// pushed is the JSON of one pushed file.
type pushed struct {
	File    string
	Stored  bool
	Package client.Document
}

func push(c *console.Console) *cobra.Command {
	var mode string
	cmd := &cobra.Command{
		Use: "push FILE…", Aliases: []string{"upload"}, Short: "Push packages to the built-in feed",
		Long: "Push packages to the built-in feed. A file's name says what it is: Id.Version.extension,\n" +
			"as in Shop.Web.1.2.0.zip. `slipway package pack` makes such a file from a folder.",
		Example: "  slipway package push Shop.Web.1.2.0.zip\n  slipway package push *.nupkg --if-exists ignore",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			overwrite, err := overwriteMode(mode)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			results := []pushed{}
			for _, name := range args {
				result, err := pushFile(cmd.Context(), c, cl, name, overwrite)
				if err != nil {
					return fmt.Errorf("push %s: %w", name, err)
				}
				results = append(results, result)
			}
			return printPushed(c, results)
		},
	}
	cmd.Flags().StringVar(&mode, "if-exists", "fail", "when that version exists already: fail, ignore or overwrite")
	return cmd
}

func overwriteMode(mode string) (client.Overwrite, error) {
	switch mode {
	case "fail":
		return client.FailIfExists, nil
	case "ignore":
		return client.IgnoreIfExists, nil
	case "overwrite":
		return client.OverwriteExisting, nil
	}
	return "", console.Usagef("--if-exists must be fail, ignore or overwrite, not %q", mode)
}

func pushFile(ctx context.Context, c *console.Console, cl *client.Client, name string, mode client.Overwrite) (pushed, error) {
	file, err := os.Open(name)
	if err != nil {
		return pushed{}, console.Usagef("%w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return pushed{}, fmt.Errorf("stat: %w", err)
	}
	if info.IsDir() {
		return pushed{}, console.Usagef("%s is a folder; make a package of it with `slipway package pack`", name)
	}
	meter := &meter{console: c, name: filepath.Base(name), total: info.Size(), from: file}
	doc, stored, err := cl.Upload(ctx, filepath.Base(name), meter, mode)
	meter.done()
	return pushed{File: name, Stored: stored, Package: doc}, err
}

func printPushed(c *console.Console, results []pushed) error {
	out := console.Result{JSON: results}
	for _, r := range results {
		line := fmt.Sprintf("Pushed %s %s.", r.Package.Text("PackageId"), r.Package.Text("Version"))
		if !r.Stored {
			line = fmt.Sprintf("%s %s exists already.", r.Package.Text("PackageId"), r.Package.Text("Version"))
		}
		out.Lines = append(out.Lines, line)
		out.Basic = append(out.Basic, r.Package.ID())
	}
	return c.Print(out)
}

// meter shows how much of a file was read: redrawn in a terminal, in silence
// otherwise.
type meter struct {
	console *console.Console
	name    string
	total   int64
	read    int64
	shown   time.Time
	drawn   bool
	from    io.Reader
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.read += int64(n)
	now := m.console.Now()
	if m.console.Live() && m.total > 1<<20 && now.Sub(m.shown) > 100*time.Millisecond {
		m.shown, m.drawn = now, true
		fmt.Fprintf(m.console.Err, "\r\x1b[K%s  %s of %s  %d %%", console.Printable(m.name),
			kind.Bytes(m.read), kind.Bytes(m.total), m.read*100/max(m.total, 1))
	}
	return n, err
}

func (m *meter) done() {
	if m.drawn {
		fmt.Fprint(m.console.Err, "\r\x1b[K")
	}
}
