package deploy

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) artifactRoutes() []api.Route {
	return []api.Route{
		api.Get("/artifacts", authz.ArtifactView, "List the files that scripts handed in", h.listArtifacts).With("regarding", "ids", "partialName").Paged(),
		api.Get("/artifacts/all", authz.ArtifactView, "List all files that scripts handed in", h.allArtifacts).With("regarding", "ids", "partialName"),
		api.Get("/artifacts/{id}", authz.ArtifactView, "Get a file's description", h.getArtifact),
		api.Raw(http.MethodGet, "/artifacts/{id}/content", authz.ArtifactView, "Get a file's bytes", "application/octet-stream", h.artifactContent),
	}
}

// artifactAnswer is an artifact as the wire has it (octopus-api.md 2.22). What
// follows Created is Slipway's own.
type artifactAnswer struct {
	ID               string `json:"Id"`
	SpaceID          string `json:"SpaceId"`
	Filename         string
	ServerTaskID     string `json:"ServerTaskId"`
	LogCorrelationID string `json:"LogCorrelationId"`
	Source           string
	Created          resource.Time
	MachineID        string `json:"MachineId"`
	Size             int64
	Sha256           string
	Links            api.Links
}

func artifactOf(a *deploy.Artifact) artifactAnswer {
	self := "/api/" + url.PathEscape(a.SpaceID) + "/artifacts/" + url.PathEscape(a.ID)
	return artifactAnswer{
		ID: a.ID, SpaceID: a.SpaceID, Filename: a.Filename, ServerTaskID: a.TaskID, LogCorrelationID: a.Activity, Source: a.Machine,
		Created: resource.Time(a.Created), MachineID: a.MachineID, Size: a.Size, Sha256: a.SHA256,
		Links: api.Links{"Self": self, "Content": self + "/content", "Task": "/api/tasks/" + url.PathEscape(a.TaskID)},
	}
}

func artifactQuery(c *api.Call) deploy.ArtifactQuery {
	return deploy.ArtifactQuery{Regarding: c.Text("regarding"), IDs: c.List("ids"), PartialName: c.Text("partialName")}
}

func (h *handler) findArtifacts(c *api.Call, q deploy.ArtifactQuery) ([]artifactAnswer, int, error) {
	list, total, err := h.artifacts.List(c.Context(), c.Caller, c.Space, q)
	answers := make([]artifactAnswer, 0, len(list))
	for i := range list {
		answers = append(answers, artifactOf(&list[i]))
	}
	return answers, total, err
}

func (h *handler) listArtifacts(c *api.Call) (api.Collection[artifactAnswer], error) {
	q := artifactQuery(c)
	q.Skip, q.Take = c.Page().Skip, c.Page().Take
	answers, total, err := h.findArtifacts(c, q)
	return api.CollectionOf(c, "Artifact", answers, total), err
}

func (h *handler) allArtifacts(c *api.Call) ([]artifactAnswer, error) {
	answers, _, err := h.findArtifacts(c, artifactQuery(c))
	return answers, err
}

func (h *handler) getArtifact(c *api.Call) (artifactAnswer, error) {
	a, err := h.artifacts.Get(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return artifactAnswer{}, err
	}
	return artifactOf(a), nil
}

// artifactContent sends the bytes as a file to keep: a browser never shows
// what a script on some machine wrote (abuse 54).
func (h *handler) artifactContent(w http.ResponseWriter, c *api.Call) error {
	a, file, err := h.artifacts.Open(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return err
	}
	defer file.Close()
	c.Extend(time.Hour) // up to 2 GiB, and the line may be slow
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(a.Filename)}))
	w.Header().Set("ETag", `"`+a.SHA256+`"`)
	http.ServeContent(w, c.Request, "", time.Time{}, file)
	return nil
}

// maxFileName is how many bytes of a name are offered to a browser.
const maxFileName = 150

// fileName makes a name that is safe to save under of what a script called its
// file: its last part, without what no file system or eye can be trusted with.
func fileName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		case strings.ContainsRune(`<>:"|?*;%`, r):
			return '_'
		}
		return r
	}, name)
	if cut := len(name) - maxFileName; cut > 0 {
		name = strings.ToValidUTF8(name[cut:], "") // the extension stays
	}
	if name = strings.Trim(name, ". "); name == "" {
		return "artifact"
	}
	return name
}
