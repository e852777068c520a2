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

// packageItem adds the names that older clients read.
func packageItem(p *resource.Package) api.Item {
	return api.ItemOf(p, api.Member{Name: "NuGetPackageId", Value: p.PackageID}, api.Member{Name: "NuGetFeedId", Value: p.FeedID})
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
