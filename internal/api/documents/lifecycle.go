package documents

import (
	"net/http"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) lifecycles() []api.Route {
	k := resource.LifecycleKind
	routes := append(a.crud(k, options{}),
		api.ForKind(http.MethodGet, "/lifecycles/{id}/preview", authz.LifecycleView, "A lifecycle with its implicit phases", k, api.One, nil,
			func(c *api.Call, _ resource.Doc) (any, error) {
				lifecycle, err := a.docs.PreviewLifecycle(c.Context(), c.Caller, c.Space, c.Param("id"))
				if err != nil {
					return nil, err
				}
				return api.ItemOf(lifecycle), nil
			}))
	// The Go SDK reads a bare array here, and a page below a project group.
	return append(routes, a.allBelow(k, "/lifecycles/{id}/projects", resource.ProjectKind, "LifecycleId", "The projects that follow a lifecycle")...)
}

func (a *area) channels() []api.Route {
	k := resource.ChannelKind
	return append(a.crud(k, options{}),
		api.Get("/channels/rule-test", authz.ProcessView, "Whether a version passes a channel's rule", a.testRule).
			With("version", "versionRange", "preReleaseTag", "feedType"),
		api.Post("/channels/rule-test", authz.ProcessView, "Whether a version passes a channel's rule", a.postRule).Answers(http.StatusOK),
	)
}

// RuleTest is documents.RuleTest with links.
type RuleTest struct {
	documents.RuleTest
	Links api.Links
}

// RuleQuestion is what a rule test asks.
type RuleQuestion struct {
	Version       string
	VersionRange  string
	PreReleaseTag string
	FeedType      string
}

func (a *area) testRule(c *api.Call) (RuleTest, error) {
	return RuleTest{documents.CheckRule(c.Text("version"), c.Text("versionRange"), c.Text("preReleaseTag")), api.Links{"Self": c.Path()}}, nil
}

func (a *area) postRule(c *api.Call, in RuleQuestion) (RuleTest, error) {
	return RuleTest{documents.CheckRule(in.Version, in.VersionRange, in.PreReleaseTag), api.Links{"Self": c.Path()}}, nil
}
