package task

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// receipt is what a machine proved to have on its disk (P1).
type receipt struct {
	MachineID     string `json:"MachineId"`
	PackageID     string `json:"PackageId"`
	Version       string
	PackageSha256 string
	InstallDir    string
	Files         []struct {
		Path   string
		Size   int64
		Sha256 string
	}
}

func receipts(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "receipts TASK", Short: "Show what the machines proved to have installed",
		Long: "Show what the machines proved to have installed: hashes of the package and of every file, computed on\n" +
			"the machine from its disk once the configuration was written. --format json lists each file.",
		Example: "  slipway task receipts ServerTasks-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			var raw []client.Document
			if err := cl.Get(cmd.Context(), "/api/tasks/"+url.PathEscape(args[0])+"/receipts", nil, &raw); err != nil {
				return err
			}
			return printReceipts(cmd, c, cl, raw)
		},
	}
}

func printReceipts(cmd *cobra.Command, c *console.Console, cl *client.Client, raw []client.Document) error {
	names := map[string]string{}
	if c.Format == console.Table {
		path, err := kind.Machine().Collection(cmd.Context(), cl)
		if err != nil {
			return err
		}
		machines, err := client.List[client.Document](cmd.Context(), cl, path, nil, 0)
		if err != nil {
			return err
		}
		for _, m := range machines {
			names[m.ID()] = m.Text("Name")
		}
	}
	result := console.Result{Columns: []string{"MACHINE", "PACKAGE", "VERSION", "SHA-256", "FILES", "FOLDER"}, JSON: raw}
	for _, doc := range raw {
		var r receipt
		if err := doc.Decode(&r); err != nil {
			return fmt.Errorf("read receipt: %w", err)
		}
		name := names[r.MachineID]
		if name == "" {
			name = r.MachineID
		}
		result.Rows = append(result.Rows, []string{name, r.PackageID, r.Version, r.PackageSha256, fmt.Sprint(len(r.Files)), r.InstallDir})
		result.Basic = append(result.Basic, r.MachineID+" "+r.PackageID+" "+r.Version+" "+r.PackageSha256)
	}
	return c.Print(result)
}
