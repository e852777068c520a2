package documents

import (
	"net/url"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) feeds() []api.Route {
	return append(a.crud(resource.FeedKind, options{}),
		api.Get("/feeds/stats", authz.FeedView, "How many packages the built-in feed has", a.feedStats),
		api.Get("/feeds/{id}/packages/search", authz.FeedView, "Find packages of a feed", a.searchPackages).
			Paged().With("term", "partialMatch", "includeMultipleVersions", "includePreRelease"),
		api.Get("/feeds/{id}/packages/versions", authz.FeedView, "The versions of a package of a feed, newest first", a.packageVersions).
			Paged().With("packageId", "includePreRelease", "versionRange", "preReleaseTag", "filter", "includeReleaseNotes"),
	)
}

// FeedStats counts the packages of the built-in feed.
type FeedStats struct {
	TotalPackages int
	Links         api.Links
}

func (a *area) feedStats(c *api.Call) (FeedStats, error) {
	n, err := a.docs.CountPackages(c.Context(), c.Caller, c.Space)
	return FeedStats{TotalPackages: n, Links: api.Links{"Self": c.Path()}}, err
}

// PackageDescription is documents.PackageDescription with links.
type PackageDescription struct {
	documents.PackageDescription
	Links api.Links
}

func (a *area) searchPackages(c *api.Call) (api.Collection[PackageDescription], error) {
	page := c.Page()
	found, total, err := a.docs.SearchPackages(c.Context(), c.Caller, c.Space, c.Param("id"), documents.PackageSearch{
		Term: c.Text("term"), Partial: c.Text("partialMatch") == "" || c.Flag("partialMatch"), Skip: page.Skip, Take: page.Take,
	})
	items := make([]PackageDescription, 0, len(found))
	feed := "/api/" + c.Space + "/feeds/" + url.PathEscape(c.Param("id"))
	for _, p := range found {
		items = append(items, PackageDescription{p, api.Links{
			"SearchPackageVersionsTemplate": feed + "/packages/versions?packageId=" + url.QueryEscape(p.ID) +
				"{&take,skip,includePreRelease,versionRange,preReleaseTag,filter,includeReleaseNotes}",
		}})
	}
	return api.CollectionOf(c, "PackageDescription", items, total), err
}

// PackageVersion is one version of a package of a feed.
type PackageVersion struct {
	ID           string `json:"Id"`
	FeedID       string `json:"FeedId"`
	PackageID    string `json:"PackageId"`
	Version      string
	Title        string
	Published    resource.Time
	SizeBytes    int64
	ReleaseNotes string
	Links        api.Links
}

func (a *area) packageVersions(c *api.Call) (api.Collection[PackageVersion], error) {
	page := c.Page()
	found, total, err := a.docs.PackageVersions(c.Context(), c.Caller, c.Space, c.Param("id"), documents.PackageSearch{
		Exact: c.Text("packageId"), VersionRange: c.Text("versionRange"), Tag: c.Text("preReleaseTag"),
		PreRelease: c.Text("includePreRelease") == "" || c.Flag("includePreRelease"), Skip: page.Skip, Take: page.Take,
	})
	items := make([]PackageVersion, 0, len(found))
	for i := range found {
		p := &found[i]
		items = append(items, PackageVersion{
			ID: p.ID, FeedID: p.FeedID, PackageID: p.PackageID, Version: p.Version, Title: p.Title, Published: p.Published,
			SizeBytes: p.PackageSizeBytes, ReleaseNotes: p.ReleaseNotes, Links: api.Links{"Self": api.PathOf(p)},
		})
	}
	return api.CollectionOf(c, "PackageVersion", items, total), err
}
