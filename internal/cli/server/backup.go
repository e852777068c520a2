package server

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/server"
)

// Backup is `slipway backup`.
func Backup(c *console.Console) *cobra.Command {
	var data, to string
	var withKey bool
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy a server's data while it runs: database, logs, packages, artifacts, keys",
		Long: "Copy a server's data into an empty folder while the server runs: database, logs, packages, artifacts and\n" +
			"the server's own keys, with a manifest of their digests. Run it on the server's machine, as its user.\n\n" +
			"Every secret in the backup is sealed with the master key (" + server.KeyFile + " in the data folder), which the backup\n" +
			"does not hold: keep a copy of it apart, without it nothing can be restored. --include-master-key puts it\n" +
			"in; whoever reads such a backup reads every secret.\n\n" +
			"Of a server with --database, PostgreSQL's own tools make the backup, and of one with --blobs those of the\n" +
			"bucket; the command says so. The built-in worker gets a new identity at a restore.",
		Example: "  slipway backup --data /var/lib/slipway/server --to /backup/$(date +%F)\n" +
			"  slipway backup --data ./slipway --to ./copy --include-master-key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return console.Usagef("say where the backup is to be written, with --to")
			}
			m, err := server.Backup(cmd.Context(), server.BackupConfig{Data: data, To: to, MasterKey: withKey, Version: c.Version, Now: c.Now})
			if err != nil {
				return err
			}
			if withKey {
				c.Notef("Warning: the backup holds the master key. Whoever reads it reads every secret.")
			} else {
				c.Notef("The backup does not hold %s. Keep a copy of it apart: without it nothing can be restored.", filepath.Join(data, server.KeyFile))
			}
			if n := len(m.Missing); n > 0 {
				c.Notef("%d packages, artifacts or finished logs that the database names are not in %s, and not in the backup; %s lists\n"+
					"them. A server with --blobs keeps them in its bucket: back that up as well. Without it they were deleted meanwhile, or are lost.", n, filepath.Join(data, "blobs"), "manifest.json")
			}
			var bytes int64
			for _, f := range m.Files {
				bytes += f.Size
			}
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Backed up %d files, %d bytes, to %s.", len(m.Files), bytes, to)}, Basic: []string{to}, JSON: m,
			})
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&to, "to", "", "folder for the backup, empty or not there")
	cmd.Flags().BoolVar(&withKey, "include-master-key", false, "put the master key into the backup as well")
	return cmd
}

// Restore is `slipway restore`.
func Restore(c *console.Console) *cobra.Command {
	var data, from, key, database, taken string
	cmd := &cobra.Command{
		Use: "restore", Short: "Put a backup into an empty data folder; show and confirm what followed",
		Long: "Put a backup into an empty data folder, as the user that the server runs as. Stop the old server first: two\n" +
			"servers with one identity fight over the agents.\n\n" +
			"What the backup has as unfinished is closed, since nobody knows how it went on; ids are not used again;\n" +
			"and no machine catches up by itself until `slipway restore confirm`. Once the server runs, `slipway\n" +
			"restore status` lists what agents did after the backup. API keys and users are those of the backup:\n" +
			"revoke again what was revoked since.\n\n" +
			"A PostgreSQL database is put back with pg_restore; then, before any server starts on it, --database (or\n" +
			"SLIPWAY_DATABASE) and --taken, the time of the dump, mark it as restored in the same way. --data is a folder\n" +
			"with the master key of its servers.",
		Example: "  slipway restore --from /backup/2026-05-01 --data /var/lib/slipway/server --master-key /safe/" + server.KeyFile + "\n" +
			"  slipway restore status\n  slipway restore confirm\n" +
			"  slipway restore --database postgres://slipway@db/slipway --data /var/lib/slipway/server --taken 2026-05-01T02:00:00Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if taken != "" {
				if database == "" {
					database = c.Env("SLIPWAY_DATABASE")
				}
				return markRestored(cmd.Context(), c, database, data, taken)
			}
			if from == "" || database != "" {
				return console.Usagef("say which backup to restore, with --from, or which database was restored and when its dump was taken, with --database and --taken")
			}
			m, done, err := server.Restore(cmd.Context(), server.RestoreConfig{From: from, Data: data, MasterKey: key, Now: c.Now})
			if err != nil {
				return err
			}
			c.Notef(afterRestore)
			return c.Print(console.Result{
				Lines: []string{fmt.Sprintf("Restored the backup of %s into %s. %d unfinished tasks were closed.", m.Created.Format(time.RFC3339), data, len(done.Tasks))},
				Basic: done.Tasks, JSON: done,
			})
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&from, "from", "", "folder of the backup")
	cmd.Flags().StringVar(&key, "master-key", "", "file with the master key, where the backup does not hold it")
	cmd.Flags().StringVar(&database, "database", "", "PostgreSQL database that was put back with pg_restore (or SLIPWAY_DATABASE)")
	cmd.Flags().StringVar(&taken, "taken", "", "when the dump of --database was taken, e.g. 2026-05-01T02:00:00Z")
	cmd.AddCommand(restoreStatus(c), restoreConfirm(c))
	return cmd
}

// markRestored marks a PostgreSQL database that its own tools have put back.
func markRestored(ctx context.Context, c *console.Console, database, data, taken string) error {
	at, err := time.Parse(time.RFC3339, taken)
	if err != nil {
		return console.Usagef("--taken has to be a time like 2026-05-01T02:00:00Z")
	}
	done, err := server.MarkRestored(ctx, server.MarkConfig{Database: database, Data: data, Taken: at})
	if err != nil {
		return err
	}
	c.Notef(afterRestore)
	return c.Print(console.Result{
		Lines: []string{fmt.Sprintf("Marked the database as restored from a dump of %s. %d unfinished tasks were closed.", at.Format(time.RFC3339), len(done.Tasks))},
		Basic: done.Tasks, JSON: done,
	})
}

const afterRestore = "API keys, users and roles are those of the backup, one-time tokens of agents are revoked. Start the server, look at\n" +
	"`slipway restore status`, then let machines catch up again with `slipway restore confirm`."

// restored is the last restore as the server shows it.
type restored struct {
	BackupAt, RestoredAt, ConfirmedAt, ConfirmedBy string

	IsHeld      bool
	ClosedTasks []string
	Unmatched   []struct{ MachineName, MachineID, AttemptID, SeenAt, State, Outcome, Reason string }
}

func restoreStatus(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the last restore, and what agents did that the backup does not know",
		Example: "  slipway restore status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Get(cmd.Context(), "/api/restore", nil, &raw); err != nil {
				return err
			}
			return printRestored(c, raw)
		},
	}
}

func restoreConfirm(c *console.Console) *cobra.Command {
	return &cobra.Command{
		Use: "confirm", Short: "Let machines catch up by themselves again after a restore",
		Example: "  slipway restore confirm",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			var raw client.Document
			if err := cl.Post(cmd.Context(), "/api/restore/confirm", struct{}{}, &raw); err != nil {
				return err
			}
			return printRestored(c, raw)
		},
	}
}

func printRestored(c *console.Console, raw client.Document) error {
	var r restored
	if err := raw.Decode(&r); err != nil {
		return err
	}
	state := "confirmed at " + r.ConfirmedAt + " by " + r.ConfirmedBy
	if r.IsHeld {
		state = "not confirmed: no machine catches up by itself until `slipway restore confirm`"
	}
	result := console.Result{
		Lines: []string{fmt.Sprintf("Restored at %s from the backup of %s; %s.", r.RestoredAt, r.BackupAt, state)}, Basic: r.ClosedTasks, JSON: raw,
	}
	for _, task := range r.ClosedTasks {
		result.Lines = append(result.Lines, "  closed unfinished: "+task)
	}
	if len(r.Unmatched) == 0 {
		return c.Print(result)
	}
	result.Columns = []string{"MACHINE", "ATTEMPT", "STATE", "OUTCOME", "REASON"}
	for _, u := range r.Unmatched {
		name := u.MachineName
		if name == "" {
			name = u.MachineID
		}
		result.Rows = append(result.Rows, []string{name, u.AttemptID, u.State, u.Outcome, u.Reason})
	}
	return c.Print(result)
}
