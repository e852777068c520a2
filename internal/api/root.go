package api

import (
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Root is the document that every client reads first (octopus-api.md 1.3).
type Root struct {
	Application          string
	Version              string
	APIVersion           string `json:"ApiVersion"`
	InstallationID       string `json:"InstallationId"`
	IsEarlyAccessProgram bool
	HasLongTermSupport   bool
	Links                Links
}

// SpaceRoot is the same for one space. It has no version: clients tell the two
// apart by that.
type SpaceRoot struct {
	ID    string `json:"Id"`
	Links Links
}

func (s *Server) own() Area {
	return Area{Name: "Root", Routes: append([]Route{
		Get("", authz.Public, "The links of the server", s.root).At(route.Global),
		Get("", authz.SignedIn, "The links of a space", s.spaceRoot),
	}, s.loginRoutes()...)}
}

func (s *Server) root(*Call) (Root, error) {
	links := RootLinks(resource.DefaultSpace)
	links["Self"] = "/api"
	return Root{
		Application: "Octopus Deploy", Version: s.cfg.Version, APIVersion: "3.0.0",
		InstallationID: s.cfg.InstallationID, Links: links,
	}, nil
}

func (s *Server) spaceRoot(c *Call) (SpaceRoot, error) {
	links := RootLinks(c.Space)
	links["Self"] = spacePath(c.Space)
	return SpaceRoot{ID: c.Space, Links: links}, nil
}
