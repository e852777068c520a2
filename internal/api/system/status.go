package system

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
)

func (a *area) status() []api.Route {
	routes := []api.Route{
		api.Get("/serverstatus", authz.SignedIn, "How the server is", a.serverStatus),
		api.Get("/serverstatus/health", authz.SignedIn, "Whether the server works", serverHealth),
		api.Get("/serverstatus/timezones", authz.SignedIn, "The time zones for schedules", timezones),
		api.Get("/serverstatus/counts", authz.ConfigureServer, "How much the server holds", a.counts),
		api.Get("/serverstatus/system-info", authz.ConfigureServer, "What the server runs on", a.info),
		api.Get("/serverstatus/logs", authz.ConfigureServer, "The server's last warnings; they go to its standard error", func(*api.Call) ([]struct{}, error) {
			return []struct{}{}, nil
		}).With("take", "includeDetail"),
		api.Get("/serverstatus/extensions", authz.SignedIn, "What the server was extended by", func(*api.Call) ([]struct{}, error) { return []struct{}{}, nil }),
		api.Raw(http.MethodGet, "/serverstatus/system-report", authz.ConfigureServer, "What support needs to know", "application/zip", a.report),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Global)
	}
	return routes
}

// ServerStatus says how the server is (octopus-api.md 2.23).
type ServerStatus struct {
	IsDatabaseEncrypted                 bool
	IsUpgradeAvailable                  bool
	IsMajorMinorUpgrade                 bool
	IsInMaintenanceMode                 bool
	IsPotentialClone                    bool
	MaintenanceExpires                  *string
	MaximumAvailableVersion             *string
	MaximumAvailableVersionCoveredByLic *string `json:"MaximumAvailableVersionCoveredByLicense"`
	Links                               api.Links
}

func (a *area) serverStatus(*api.Call) (ServerStatus, error) {
	return ServerStatus{IsDatabaseEncrypted: false, Links: api.Links{
		"Self": "/api/serverstatus", "Health": "/api/serverstatus/health", "Timezones": "/api/serverstatus/timezones", "Counts": "/api/serverstatus/counts",
		"SystemInfo": "/api/serverstatus/system-info", "RecentLogs": "/api/serverstatus/logs{?take,includeDetail}", "SystemReport": "/api/serverstatus/system-report",
		"ExtensionStats": "/api/serverstatus/extensions",
	}}, nil
}

// ServerHealth says whether the server works.
type ServerHealth struct {
	Description                  string
	IsOperatingNormally          bool
	IsCompliantWithLicense       bool
	IsEntireClusterReadOnly      bool
	IsEntireClusterDrainingTasks bool
	Links                        api.Links
}

func serverHealth(*api.Call) (ServerHealth, error) {
	return ServerHealth{
		Description: "Slipway is operating normally.", IsOperatingNormally: true, IsCompliantWithLicense: true,
		Links: api.Links{"Self": "/api/serverstatus/health"},
	}, nil
}

// Timezone is one that schedules can name.
type Timezone struct {
	ID      string `json:"Id"`
	Name    string
	IsLocal bool
}

func timezones(*api.Call) ([]Timezone, error) {
	return []Timezone{{ID: "UTC", Name: "(UTC) Coordinated Universal Time", IsLocal: true}}, nil
}

// Counts says how much the server holds (octopus-api.md 2.23).
type Counts struct {
	Global         struct{ Spaces, Teams, Users int }
	Infrastructure struct{ DeploymentTargets, Environments, Tenants, WorkerPools, Workers int }
	Library        struct{ Certificates, Packages, VariableSets int }
	Project        struct{ Deployments, Projects, Releases, RunbookRuns, Runbooks int }
	Links          api.Links
}

func (a *area) counts(c *api.Call) (out Counts, err error) {
	n, err := a.Docs.Counts(c.Context(), c.Caller)
	out.Global.Spaces, out.Global.Teams, out.Global.Users = n["spaces"], n["teams"], n["users"]
	out.Infrastructure.DeploymentTargets, out.Infrastructure.Environments = n["machines"], n["environments"]
	out.Infrastructure.WorkerPools, out.Infrastructure.Workers = n["workerpools"], n["workers"]
	out.Library.Packages, out.Library.VariableSets = n["packages"], n["libraryvariablesets"]
	out.Project.Deployments, out.Project.Projects, out.Project.Releases = n["deployments"], n["projects"], n["releases"]
	out.Links = api.Links{"Self": "/api/serverstatus/counts"}
	return out, err
}

// SystemInfo is what the server runs on.
type SystemInfo struct {
	Version            string
	ClrVersion         string
	OSVersion          string
	Uptime             string
	WorkingSetBytes    uint64
	ThreadCount        int
	MinThreadPoolCount int
	Links              api.Links
}

func (a *area) info(*api.Call) (SystemInfo, error) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return SystemInfo{
		Version: a.Version, ClrVersion: runtime.Version(), OSVersion: runtime.GOOS + "/" + runtime.GOARCH,
		Uptime: a.Now().Sub(a.Started).Round(time.Second).String(), WorkingSetBytes: memory.Sys,
		ThreadCount: runtime.NumGoroutine(), MinThreadPoolCount: runtime.GOMAXPROCS(0),
		Links: api.Links{"Self": "/api/serverstatus/system-info"},
	}, nil
}

// report is a zip of what the two routes above say. It holds no document and
// no setting, so nothing in it can be a secret (abuse 96).
func (a *area) report(w http.ResponseWriter, c *api.Call) error {
	info, err := a.info(c)
	if err != nil {
		return err
	}
	counts, err := a.counts(c)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="system-report.zip"`)
	archive := zip.NewWriter(w)
	for _, file := range []struct {
		name string
		what any
	}{{"system-info.json", info}, {"counts.json", counts}} {
		f, err := archive.Create(file.name)
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if err := json.NewEncoder(f).Encode(file.what); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return archive.Close()
}
