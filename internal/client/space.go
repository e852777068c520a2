package client

import (
	"context"
	"strings"
)

// Space is the part of a space that callers need.
type Space struct {
	ID        string `json:"Id"`
	Name      string
	Slug      string
	IsDefault bool
}

// SpaceID resolves the configured space by id, name or slug, or finds the
// default space, and remembers the answer.
func (c *Client) SpaceID(ctx context.Context) (string, error) {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	if c.space.id != "" {
		return c.space.id, nil
	}
	var names []string
	for space, err := range Items[Space](ctx, c, "/api/spaces", firstPage(nil)) {
		if err != nil {
			return "", err
		}
		if space.matches(c.cfg.Space) {
			c.space.id = space.ID
			return space.ID, nil
		}
		names = append(names, space.Name)
	}
	if c.cfg.Space == "" {
		return "", &MissingError{Kind: "space", Ref: "(default)", Names: names}
	}
	return "", &MissingError{Kind: "space", Ref: c.cfg.Space, Names: names}
}

func (s Space) matches(ref string) bool {
	if ref == "" {
		return s.IsDefault
	}
	return s.ID == ref || strings.EqualFold(s.Name, ref) || strings.EqualFold(s.Slug, ref)
}

// Path is the path of a space-scoped resource, "/api/Spaces-1/projects". With
// no space configured it is the unscoped form, which means the default space
// (octopus-api.md 1.4), and nothing is looked up.
func (c *Client) Path(ctx context.Context, rest string) (string, error) {
	rest = strings.TrimLeft(rest, "/")
	if c.cfg.Space == "" {
		return "/api/" + rest, nil
	}
	id, err := c.SpaceID(ctx)
	if err != nil {
		return "", err
	}
	return "/api/" + id + "/" + rest, nil
}
