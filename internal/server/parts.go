package server

import (
	"context"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	apideploy "github.com/slipwayhq/slipway/internal/api/deploy"
	apidocuments "github.com/slipwayhq/slipway/internal/api/documents"
	apiidentity "github.com/slipwayhq/slipway/internal/api/identity"
	apisystem "github.com/slipwayhq/slipway/internal/api/system"
	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/app/feed"
	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/fleet"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// APIVersion is the version of the wire contract that the root document names:
// clients compare it with the features they look for (octopus-api.md 1.3).
const APIVersion = "2026.1.1"

// parts are the use cases behind the API.
type parts struct {
	docs        *documents.Service
	users       *identity.Service
	deployments *deploy.Service
	artifacts   *deploy.Artifacts
	packages    *feed.Service
	db          *store.DB
	now         func() time.Time
	thumbprint  string // of the certificate that agents trust
}

// areas are all parts of the API. Without parts they can be described, not
// served.
func areas(p parts) []api.Area {
	system := apisystem.Config{Docs: p.docs, Version: APIVersion, Now: p.now, Thumbprint: p.thumbprint}
	if p.now != nil {
		system.Started = p.now()
	}
	return append(apideploy.Areas(p.deployments, p.artifacts, p.packages, starter{p.db}),
		apidocuments.Area(p.docs), apiidentity.Area(p.users), apisystem.Area(system))
}

// Spec is the OpenAPI document of the whole API, without a running server.
func Spec() ([]byte, error) { return api.Spec(areas(parts{})...) }

// prober lets the fleet ask agents through the gateway.
type prober struct{ g *gateway.Gateway }

func (p prober) Probe(ctx context.Context, machine, bash, powershell string, timeout time.Duration) (fleet.Probed, error) {
	result, err := p.g.Probe(ctx, machine, bash, powershell, timeout)
	return fleet.Probed(result), err
}

// discover lets people ask, through the gateway, who listens at an address.
func (s *Server) discover(ctx context.Context, host string, port int) (documents.Discovered, error) {
	found, err := s.gateway.Discover(ctx, host, port)
	if err != nil {
		return documents.Discovered{}, err
	}
	return documents.Discovered{Name: found.Hostname, URI: "https://" + found.Address + "/", Thumbprint: found.Thumbprint}, nil
}

// starter queues the tasks that POST /tasks asks for.
type starter struct{ db *store.DB }

func (s starter) StartTask(c *api.Call, name, description string, arguments map[string]any) (id string, err error) {
	if name != "Health" {
		return "", resource.Errorf(resource.Invalid, "Tasks of type '%s' cannot be started. Start a Health or an AdHocScript task.", name)
	}
	err = s.db.Write(c.Context(), func(tx *store.Tx) error {
		tx.SetActor(c.Caller.Actor())
		machines, err := healthTargets(tx, c, arguments)
		if err != nil {
			return err
		}
		if err := fleet.Retry(tx, machines); err != nil {
			return err
		}
		if description == "" {
			description = "Check health"
		}
		task, err := fleet.QueueHealth(tx, c.Caller.Username, spaceOf(c), description, machines)
		if err == nil {
			id = task.ID
		}
		return err
	})
	return id, err
}

func spaceOf(c *api.Call) string {
	if c.Space == "" {
		return resource.DefaultSpace
	}
	return c.Space
}

// healthTargets are the machines that a Health task names, or those of its
// environment, or all. What cannot be understood is refused: it must not widen
// the task (abuse 33).
func healthTargets(tx *store.Tx, c *api.Call, arguments map[string]any) ([]string, error) {
	query := store.Query{Space: spaceOf(c)}
	named, err := machineIDs(arguments["MachineIds"])
	if err != nil {
		return nil, err
	}
	if len(named) > 0 {
		query.IDs = named
	}
	env, isText := arguments["EnvironmentId"].(string)
	if arguments["EnvironmentId"] != nil && !isText {
		return nil, resource.Errorf(resource.Invalid, "The argument EnvironmentId has to be the id of an environment.")
	}
	if env != "" {
		query.Where = map[string][]string{"EnvironmentIds": {env}}
	}
	machines, _, err := store.List[resource.Machine](tx, query)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for i := range machines {
		for _, env := range machines[i].EnvironmentIDs {
			if err := app.Allow(c.Caller, authz.TaskCreate, authz.Scope{Space: query.Space, Environment: env}); err != nil {
				return nil, err
			}
		}
		ids = append(ids, machines[i].ID)
	}
	for _, id := range named {
		if !slices.Contains(ids, id) {
			return nil, resource.Errorf(resource.Invalid, "There is no machine '%.60s' to check here. Please correct the argument MachineIds.", id)
		}
	}
	return ids, nil
}

// machineIDs reads the argument MachineIds; none is no choice.
func machineIDs(argument any) (ids []string, err error) {
	list, isList := argument.([]any)
	if argument != nil && !isList {
		return nil, resource.Errorf(resource.Invalid, "The argument MachineIds has to be a list of machines' ids.")
	}
	for _, item := range list {
		id, isText := item.(string)
		if !isText {
			return nil, resource.Errorf(resource.Invalid, "The argument MachineIds has to be a list of machines' ids.")
		}
		ids = append(ids, id)
	}
	return ids, nil
}
