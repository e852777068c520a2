package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
	"github.com/slipwayhq/slipway/internal/cli/packaging"
	"github.com/slipwayhq/slipway/internal/client"
)

// The story's two releases. The first brings a migration, the second none.
const (
	first  = "1.0.0"
	second = "1.1.0"
)

// environments makes the two stages.
func (w *world) environments(ctx context.Context) error {
	for _, name := range []string{staging, production} {
		if _, err := w.post(ctx, "/api/environments", map[string]any{"Name": name}); err != nil {
			return err
		}
	}
	policies, err := client.List[client.Document](ctx, w.cl, "/api/machinepolicies", nil, 0)
	if err != nil {
		return fmt.Errorf("list machine policies: %w", err)
	}
	for _, policy := range policies {
		// A laptop's machines answer at once or never.
		err := w.edit(ctx, "/api/machinepolicies", policy.ID(), map[string]any{
			"ConnectionConnectTimeout": "00:00:04", "PollingRequestQueueTimeout": "00:00:04",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// define makes project, process, packages and releases.
func (w *world) define(ctx context.Context) error {
	project, err := w.createProject(ctx)
	if err != nil {
		return err
	}
	if err := w.edit(ctx, "/api/deploymentprocesses", project.Text("DeploymentProcessId"), map[string]any{"Steps": steps()}); err != nil {
		return err
	}
	for _, r := range []struct {
		version, title string
		migrates       bool
	}{{first, "The Boat Shop", true}, {second, "The Better Boat Shop", false}} {
		if err := w.push(ctx, r.version, r.title); err != nil {
			return err
		}
		list := variables(w.sup.self, w.folder, w.addresses.API, w.token, r.migrates)
		if err := w.edit(ctx, "/api/variables", project.Text("VariableSetId"), map[string]any{"Variables": list}); err != nil {
			return err
		}
		_, err := w.cl.CreateRelease(ctx, client.NewRelease{Project: projectName, Version: r.version, Packages: []string{packageID + ":" + r.version}})
		if err != nil {
			return fmt.Errorf("create release %s: %w", r.version, err)
		}
	}
	return nil
}

func (w *world) createProject(ctx context.Context) (client.Document, error) {
	var ids [2]string
	for i, path := range []string{"/api/lifecycles", "/api/projectgroups"} {
		docs, err := client.List[client.Document](ctx, w.cl, path, nil, 1)
		if err != nil || len(docs) == 0 {
			return nil, fmt.Errorf("list %s: %w", path, err)
		}
		ids[i] = docs[0].ID()
	}
	return w.post(ctx, "/api/projects", map[string]any{
		"Name": projectName, "LifecycleId": ids[0], "ProjectGroupId": ids[1],
		// Machines of this fleet come and go: one that is gone stops nobody.
		"ProjectConnectivityPolicy": map[string]any{"SkipMachineBehavior": "SkipUnavailableMachines"},
	})
}

// push builds one version of the shop's package and pushes it.
func (w *world) push(ctx context.Context, version, title string) error {
	source := filepath.Join(w.folder, "source", version)
	if err := os.MkdirAll(source, 0o755); err != nil {
		return fmt.Errorf("build the shop: %w", err)
	}
	if err := shop.WriteSource(source, version, title); err != nil {
		return err
	}
	name := packageID + "." + version + ".zip"
	archive := filepath.Join(w.folder, "source", name)
	if _, err := packaging.Pack(source, archive); err != nil {
		return err
	}
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("push the shop: %w", err)
	}
	defer file.Close()
	if _, _, err := w.cl.Upload(ctx, name, file, client.FailIfExists); err != nil {
		return fmt.Errorf("push the shop: %w", err)
	}
	return nil
}
