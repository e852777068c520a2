package deploy

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/feed"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) packageRoutes() []api.Route {
	return []api.Route{
		api.Post("/packages/raw", authz.PackagePush, "Push a package", h.push).With("replace", "overwriteMode").Limit(feed.MaxPackage+1<<20).
			Showing(resource.PackageKind, api.One),
		api.Get("/packages", authz.PackageView, "List the built-in feed's packages", h.listPackages).
			With("nuGetPackageId", "filter", "latest", "includeNotes").Paged().Showing(resource.PackageKind, api.Some),
		api.Get("/packages/{id}", authz.PackageView, "Get a package's description", h.getPackage).With("includeNotes").Showing(resource.PackageKind, api.One),
		api.Delete("/packages/bulk", authz.PackageAdminister, "Delete packages", h.deletePackages).With("ids"),
		api.Raw(http.MethodGet, "/packages/{id}/raw", authz.PackageView, "Get a package's bytes", "application/octet-stream", h.pull),
		api.Delete("/packages/{id}", authz.PackageAdminister, "Delete a package", func(c *api.Call) error {
			return h.feed.Delete(c.Context(), c.Caller, c.Space, c.Param("id"))
		}),
		api.Get("/packages/{id}/{version}/delta-signature", authz.PackageView, "Get the signature of a nearest earlier version", func(c *api.Call) (struct{}, error) {
			return struct{}{}, resource.Missing(c.Param("id")) // clients then push the package whole
		}),
	}
}

// uploadWindow is how long an upload may stand still (abuse 52).
const uploadWindow = 30 * time.Second

// push reads one part named "file" of a multipart body (octopus-api.md 2.11).
func (h *handler) push(c *api.Call, _ api.None) (api.Item, error) {
	kind, params, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return api.Item{}, resource.Errorf(resource.Invalid, "Please send the package as multipart/form-data, in one part named 'file'.")
	}
	reader := multipart.NewReader(c.Request.Body, params["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return api.Item{}, resource.Errorf(resource.Invalid, "The request holds no file. Please send the package in a part named 'file'.")
		}
		if err != nil {
			return api.Item{}, broken(err)
		}
		if part.FileName() == "" {
			continue
		}
		pkg, made, err := h.feed.Push(c.Context(), c.Caller, c.Space, part.FileName(), &patient{c: c, r: part}, modeOf(c))
		if err != nil {
			return api.Item{}, broken(err)
		}
		if !made {
			c.Status(http.StatusOK)
		}
		return packageItem(pkg), nil
	}
}

// broken names an upload that broke off for what it is.
func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &resource.Error{Code: resource.Invalid, Message: "The upload broke off before its end; nothing was stored. Push the package again.", Err: err}
	}
	return err
}

// patient lets an upload take as long as it needs while it moves.
type patient struct {
	c *api.Call
	r io.Reader
	n int64
}

func (p *patient) Read(b []byte) (int, error) {
	if p.n == 0 || p.n > 1<<20 {
		p.n = 1
		p.c.Extend(uploadWindow)
	}
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

func modeOf(c *api.Call) feed.Mode {
	switch mode := feed.Mode(c.Text("overwriteMode")); {
	case mode == feed.IgnoreIfExists || mode == feed.OverwriteExisting:
		return mode
	case c.Flag("replace"):
		return feed.OverwriteExisting
	}
	return feed.FailIfExists
}

// packageItem adds the names that older clients read. Notes that are empty are
// null: the Go SDK reads the member as a time, where "" is an error.
func packageItem(p *resource.Package) api.Item {
	members := []api.Member{{Name: "NuGetPackageId", Value: p.PackageID}, {Name: "NuGetFeedId", Value: p.FeedID}}
	if p.ReleaseNotes == "" {
		members = append(members, api.Member{Name: "ReleaseNotes", Value: nil})
	}
	return api.ItemOf(p, members...)
}

func (h *handler) listPackages(c *api.Call) (api.Collection[api.Item], error) {
	list, total, err := h.feed.List(c.Context(), c.Caller, c.Space, feed.Query{
		ID: c.Text("nuGetPackageId"), Filter: c.Text("filter"), Latest: c.Flag("latest"), Skip: c.Page().Skip, Take: c.Page().Take,
	})
	items := make([]api.Item, 0, len(list))
	for i := range list {
		items = append(items, packageItem(&list[i]))
	}
	return api.CollectionOf(c, "Package", items, total), err
}

func (h *handler) getPackage(c *api.Call) (api.Item, error) {
	pkg, err := h.feed.Get(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return api.Item{}, err
	}
	return packageItem(pkg), nil
}

// deletePackages deletes one after the other: what is gone already is no error.
func (h *handler) deletePackages(c *api.Call) error {
	for _, id := range c.List("ids") {
		if err := h.feed.Delete(c.Context(), c.Caller, c.Space, id); err != nil && resource.CodeOf(err) != resource.NotFound {
			return err
		}
	}
	return nil
}

func (h *handler) pull(w http.ResponseWriter, c *api.Call) error {
	pkg, file, err := h.feed.Open(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return err
	}
	defer file.Close()
	c.Extend(time.Hour) // a package may be large and the line slow
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(pkg.PackageSizeBytes, 10))
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": pkg.PackageID + "." + pkg.Version + pkg.FileExtension}))
	http.ServeContent(w, c.Request, "", pkg.Published.Std(), file)
	return nil
}
