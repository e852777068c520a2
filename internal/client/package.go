package client

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
)

// Overwrite says what an upload does when the version exists already.
type Overwrite string

// The overwrite modes of the wire contract (octopus-api.md 2.11).
const (
	FailIfExists      Overwrite = "FailIfExists"
	IgnoreIfExists    Overwrite = "IgnoreIfExists"
	OverwriteExisting Overwrite = "OverwriteExisting"
)

// Package is a package in the built-in feed.
type Package struct {
	ID               string `json:"Id"`
	PackageID        string `json:"PackageId"`
	Version          string
	FileExtension    string
	PackageSizeBytes int64
	Hash             string
	Published        string
}

// Upload streams one package file to the built-in feed. name is the file's
// name, "Shop.Web.1.2.0.zip". stored is false when the version existed and
// mode says to ignore that. It is sent once and never retried.
func (c *Client) Upload(ctx context.Context, name string, file io.Reader, mode Overwrite) (doc Document, stored bool, err error) {
	path, err := c.Path(ctx, "packages/raw")
	if err != nil {
		return nil, false, err
	}
	reader, writer := io.Pipe()
	defer reader.Close()
	form := multipart.NewWriter(writer)
	go func() { writer.CloseWithError(writeForm(form, name, file)) }()

	u := c.resolve(path, url.Values{"overwriteMode": {string(mode)}})
	resp, err := c.once(ctx, http.MethodPost, u, reader, form.FormDataContentType())
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if err := c.decode(resp, path, &doc); err != nil {
		return nil, false, err
	}
	return doc, resp.StatusCode == http.StatusCreated, nil
}

func writeForm(form *multipart.Writer, name string, file io.Reader) error {
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		return fmt.Errorf("start upload of %s: %w", name, err)
	}
	if _, err := io.Copy(part, file); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return form.Close()
}
