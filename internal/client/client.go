package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
)

// maxAnswer bounds the JSON of one answer, in bytes.
const maxAnswer = 64 << 20

// Config says which server to talk to, and as whom.
type Config struct {
	// URL is the server's address, e.g. "http://127.0.0.1:8080".
	URL string
	// APIKey goes into the X-Octopus-ApiKey header of every request.
	APIKey string
	// Bearer is a token for the Authorization header, such as a machine's
	// one-time registration token.
	Bearer string
	// Space is the name, slug or id of the space; empty means the default one.
	Space string
	// UserAgent names the program to the audit log.
	UserAgent string
	// Transport carries the requests; nil means one of the client's own.
	Transport http.RoundTripper
	// Retries is how often a GET is tried again after a connection error.
	Retries int
	// Pause waits before a retry and returns early with the context's cause.
	Pause func(ctx context.Context, d time.Duration) error
}

// Client is one server seen by one caller. Make it with New.
type Client struct {
	base  *url.URL
	cfg   Config
	http  *http.Client
	space spaceCache
}

type spaceCache struct {
	mu sync.Mutex
	id string
}

// New checks the configuration; it sends nothing.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	if cfg.Pause == nil {
		cfg.Pause = pause
	}
	return &Client{
		base: base,
		cfg:  cfg,
		http: &http.Client{Transport: cfg.Transport, CheckRedirect: sameHost},
	}, nil
}

// URL is the server's address as configured, without a trailing slash.
func (c *Client) URL() string { return strings.TrimRight(c.base.String(), "/") }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get fetches path into out. A path is relative to the server ("/api/…"), as
// in the links of every document.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out)
}

// Post sends body as JSON and decodes the answer into out, where out is not nil.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, http.MethodPost, path, nil, body, out)
}

// Put replaces the document at path.
func (c *Client) Put(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, http.MethodPut, path, nil, body, out)
}

// Delete removes the document at path.
func (c *Client) Delete(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, nil)
}

// Text fetches a plain-text resource such as a task's raw log.
func (c *Client) Text(ctx context.Context, path string, to io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, c.resolve(path, nil), nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(to, resp.Body); err != nil {
		return c.unreachable(resp.Request.Method, fmt.Errorf("read %s: %w", path, err))
	}
	return nil
}

func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request for %s: %w", path, err)
		}
	}
	resp, err := c.send(ctx, method, c.resolve(path, query), payload, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.decode(resp, path, out)
}

func (c *Client) decode(resp *http.Response, path string, out any) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return c.unreachable(resp.Request.Method, fmt.Errorf("read %s: %w", path, err))
	}
	if len(data) > maxAnswer {
		return resource.Errorf(resource.TooLarge, "The answer to %s is larger than %d MiB.", path, maxAnswer>>20)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return &resource.Error{
			Code:    resource.Unavailable,
			Message: fmt.Sprintf("%s did not answer %s in the form of this API. Is it a Slipway server?", c.URL(), path),
			Err:     err,
		}
	}
	return nil
}

// send does one request, with retries where they are harmless, and turns every
// status of 300 and above into an error.
func (c *Client) send(ctx context.Context, method string, u *url.URL, body []byte, contentType string) (*http.Response, error) {
	for try := 0; ; try++ {
		var reader io.Reader
		if body != nil {
			reader = bytes.NewReader(body)
		}
		resp, err := c.once(ctx, method, u, reader, contentType)
		if err == nil {
			return resp, nil
		}
		var lost *UnreachableError
		if method != http.MethodGet || try >= c.cfg.Retries || !errors.As(err, &lost) || ctx.Err() != nil {
			return nil, err
		}
		if perr := c.cfg.Pause(ctx, 100*time.Millisecond<<min(try, 5)); perr != nil {
			return nil, err
		}
	}
}

func (c *Client) once(ctx context.Context, method string, u *url.URL, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request for %s: %w", u, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.cfg.APIKey != "" {
		req.Header.Set("X-Octopus-ApiKey", c.cfg.APIKey)
	}
	if c.cfg.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Bearer)
	}
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.unreachable(method, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	return resp, nil
}

// resolve makes the full address of a path or of a link of the server. Only
// the path and query of a link count, so a link can never carry the key to
// another host.
func (c *Client) resolve(path string, query url.Values) *url.URL {
	u := *c.base
	rest, raw, _ := strings.Cut(path, "?")
	full := strings.TrimRight(c.base.EscapedPath(), "/") + "/" + strings.TrimLeft(rest, "/")
	if plain, err := url.PathUnescape(full); err == nil {
		u.Path, u.RawPath = plain, full
	} else {
		u.Path, u.RawPath = full, ""
	}
	u.RawQuery = raw
	if len(query) > 0 {
		if raw != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += query.Encode()
	}
	return &u
}

func parseBase(raw string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(strings.TrimSpace(raw), "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, resource.Errorf(resource.Invalid,
			"The server address %q is not an http:// or https:// address, such as http://127.0.0.1:8080.", raw)
	}
	if base.User != nil {
		return nil, resource.Errorf(resource.Invalid, "The server address must not contain a user name or password; use an API key.")
	}
	base.RawQuery, base.Fragment = "", ""
	return base, nil
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
	}
}

// sameHost refuses redirects to another origin: the key travels in a header of
// ours, which net/http would hand on to any host.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("the server redirects to %s://%s; set that address as the server", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > 5 {
		return errors.New("more than 5 redirects")
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
