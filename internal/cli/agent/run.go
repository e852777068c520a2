package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agent/job"
	"github.com/slipwayhq/slipway/internal/agent/packagestore"
	"github.com/slipwayhq/slipway/internal/cli/console"
)

// Command is `slipway agent`.
func Command(c *console.Console) *cobra.Command {
	cmd := console.Group("agent", "Be a machine that releases go to",
		register(c), run(c), install(c), uninstall(c), status(c), deregister(c), shim(c))
	return cmd
}

// packagesDir is where an agent keeps the packages that were sent to it.
func packagesDir(home string) string { return filepath.Join(home, "packages") }

func run(c *console.Console) *cobra.Command {
	var home string
	log := &console.LogFlags{}
	cmd := &cobra.Command{
		Use: "run", Short: "Run the agent until it is stopped; scripts that run then go on",
		Example: "  slipway agent run\n  slipway agent run --home ./agent --log-format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.Logger(c.Err)
			if err != nil {
				return err
			}
			work := func(ctx context.Context) error { return serve(ctx, c, home, logger) }
			if ran, err := agent.RunService(cmd.Context(), agent.ServiceName, work); ran || err != nil {
				return err
			}
			return work(cmd.Context())
		},
	}
	homeFlag(cmd, &home)
	log.Bind(cmd)
	return cmd
}

// homeFlag declares --home; where it is not given, home is the system's own by
// the time the command runs.
func homeFlag(cmd *cobra.Command, home *string) {
	cmd.Flags().StringVar(home, "home", "", "folder of the agent's key, configuration and journal (default: the system's own)")
	cmd.PreRun = func(*cobra.Command, []string) {
		if *home == "" {
			*home = agent.DefaultHome()
		}
	}
}

func serve(ctx context.Context, c *console.Console, home string, logger *slog.Logger) error {
	config, err := agent.LoadConfig(home)
	if err != nil {
		return err
	}
	store, err := packagestore.Open(packagesDir(home), nil)
	if err != nil {
		return err
	}
	defer store.Close()
	err = agent.Run(ctx, home, config, agent.RunDeps{
		Packages: store, Clock: c.Now, Random: mathrand.Float64, Log: logger, Version: c.Version,
		Locked: func(live []string) error {
			return errors.Join(store.Sweep(), job.Sweep(config.ApplicationsDir, live, c.Now().Add(-24*time.Hour)))
		},
	})
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to stop
	}
	return err
}

// shim is the process that keeps one attempt; the agent starts it.
func shim(c *console.Console) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "shim", Short: "Keep one attempt", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home := agent.HomeOf(dir)
			config, err := agent.LoadConfig(home)
			if err != nil {
				return err
			}
			store, err := packagestore.Open(packagesDir(home), nil)
			if err != nil {
				return err
			}
			defer store.Close()
			return agent.Shim(cmd.Context(), dir, c.In, agent.ShimDeps{Clock: c.Now, Run: with(job.Run, func(e agent.JobEnv) job.Env {
				return job.Env{
					Attempt: e.Attempt, Dir: e.Dir, Log: e.Log, Run: e.Run, Clock: e.Clock,
					Applications: config.ApplicationsDir, Packages: store, Environ: console.WithoutSecrets(os.Environ()), LookPath: exec.LookPath,
					Free: packagestore.FreeSpace, Random: rand.Text,
				}
			})})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the attempt's folder")
	// The flag was declared in the line above.
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

// with runs a job in the environment that the shim's is turned into. It is
// generic so that the command line need not know what travels to the agent.
func with[From, To, Job, Result any](run func(context.Context, To, Job) Result, turn func(From) To) func(context.Context, From, Job) Result {
	return func(ctx context.Context, env From, job Job) Result { return run(ctx, turn(env), job) }
}
