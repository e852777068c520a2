// Package deploy serves releases, deployments, tasks, interruptions, artifacts, progression,
// the dashboard and the built-in feed's packages in the wire contract's form
// (octopus-api.md 1.9, 2.11–2.14, 2.19, 2.21, 2.22).
package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/app/feed"
)

type handler struct {
	deploy    *deploy.Service
	artifacts *deploy.Artifacts
	feed      *feed.Service
	tasks     TaskStarter
	streams   chan struct{} // one for each task that is followed
}

// TaskStarter queues the tasks that other areas carry out, by the name that
// POST /tasks gives.
type TaskStarter interface {
	StartTask(c *api.Call, name, description string, arguments map[string]any) (taskID string, err error)
}

// Areas are the routes of this package.
func Areas(d *deploy.Service, a *deploy.Artifacts, f *feed.Service, tasks TaskStarter) []api.Area {
	h := &handler{deploy: d, artifacts: a, feed: f, tasks: tasks, streams: make(chan struct{}, maxStreams)}
	return []api.Area{
		{Name: "Releases", Routes: h.releaseRoutes()},
		{Name: "Deployments", Routes: h.deploymentRoutes()},
		{Name: "Tasks", Routes: h.taskRoutes()},
		{Name: "Interruptions", Routes: h.interruptionRoutes()},
		{Name: "Artifacts", Routes: h.artifactRoutes()},
		{Name: "Packages", Routes: h.packageRoutes()},
		{Name: "Dashboard", Routes: h.dashboardRoutes()},
		{Name: "Restore", Routes: h.restoreRoutes()},
	}
}
