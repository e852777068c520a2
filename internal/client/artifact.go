package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Artifact is a file that a script handed in (octopus-api.md 2.22). Size and
// Sha256 are Slipway's own; servers of the same contract may leave them out.
type Artifact struct {
	ID               string `json:"Id"`
	Filename         string // data, never a path
	ServerTaskID     string `json:"ServerTaskId"`
	LogCorrelationID string `json:"LogCorrelationId"`
	Source           string // the machine's name
	Created          string
	MachineID        string `json:"MachineId"`
	Size             *int64
	Sha256           string
}

// Artifact reads the description of an artifact.
func (c *Client) Artifact(ctx context.Context, id string) (a Artifact, err error) {
	path, err := c.Path(ctx, "artifacts/"+url.PathEscape(id))
	if err != nil {
		return Artifact{}, err
	}
	return a, c.Get(ctx, path, nil, &a)
}

// Download writes an artifact's bytes to w as they come. It fails when they
// are not what the description says; what was written by then is worth nothing.
func (c *Client) Download(ctx context.Context, a Artifact, w io.Writer) error {
	path, err := c.Path(ctx, "artifacts/"+url.PathEscape(a.ID)+"/content")
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, http.MethodGet, c.resolve(path, nil), nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, sum := io.Reader(resp.Body), sha256.New()
	if a.Size != nil {
		body = io.LimitReader(body, *a.Size+1)
	}
	local := &sink{w: w}
	n, err := io.Copy(io.MultiWriter(local, sum), body)
	if local.err != nil {
		return fmt.Errorf("write %s: %w", a.ID, local.err)
	}
	if err != nil {
		return c.unreachable(http.MethodGet, fmt.Errorf("read %s: %w", path, err))
	}
	return a.check(n, sum)
}

// sink tells a failed write from a failed read.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, s.err = s.w.Write(p)
	return n, s.err
}

func (a *Artifact) check(n int64, sum hash.Hash) error {
	whole := a.Size == nil || n == *a.Size
	same := a.Sha256 == "" || strings.EqualFold(hex.EncodeToString(sum.Sum(nil)), a.Sha256)
	if whole && same {
		return nil
	}
	return resource.Errorf(resource.Unavailable, "What arrived of %s is not what the server said it would send. Download it again.", a.ID)
}
