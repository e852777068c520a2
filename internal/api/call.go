package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Call is one authorised request on its way through a route's handler.
type Call struct {
	Request *http.Request
	Caller  app.Caller
	// Space is the id of the space; "" when the route was asked without one.
	Space string

	route  *Route
	params map[string]string
	query  url.Values
	page   Page
	status int
	writer http.ResponseWriter
	ending <-chan struct{}
}

// Ending is closed once the server stops: an answer that goes on for long ends
// itself then.
func (c *Call) Ending() <-chan struct{} { return c.ending }

// Context is the request's: it ends when the client goes away.
func (c *Call) Context() context.Context { return c.Request.Context() }

// Param is a parameter of the route's pattern, unescaped.
func (c *Call) Param(name string) string { return c.params[name] }

// Path is the canonical address that the request meant, without its query.
func (c *Call) Path() string {
	var b strings.Builder
	b.WriteString(spacePath(c.Space))
	for segment := range strings.SplitSeq(strings.Trim(c.route.Pattern, "/"), "/") {
		if segment == "" {
			continue
		}
		b.WriteByte('/')
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			segment = url.PathEscape(c.params[strings.TrimSuffix(name, "}")])
		}
		b.WriteString(segment)
	}
	return b.String()
}

// Text is a query parameter; its name counts in any case.
func (c *Call) Text(name string) string {
	for key, values := range c.query {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Has says whether a query parameter is there with a value.
func (c *Call) Has(name string) bool { return c.Text(name) != "" }

// List is a comma-separated query parameter, also given several times; nil
// when it is absent.
func (c *Call) List(name string) []string {
	var list []string
	for key, values := range c.query {
		if !strings.EqualFold(key, name) {
			continue
		}
		for _, value := range values {
			for part := range strings.SplitSeq(value, ",") {
				if part = strings.TrimSpace(part); part != "" {
					list = append(list, part)
				}
			}
		}
	}
	return list
}

// Flag is a boolean query parameter; anything but true is false.
func (c *Call) Flag(name string) bool { return strings.EqualFold(c.Text(name), "true") }

// Page is the part of a list that skip and take ask for: 30 from the start
// unless they say otherwise, and never more than MaxTake.
func (c *Call) Page() Page { return c.page }

// Header is the answer's header, for a handler that says more than a body.
func (c *Call) Header() http.Header { return c.writer.Header() }

// Status makes the answer another success than the route's own, such as 200
// for a package that was there already.
func (c *Call) Status(code int) { c.status = code }

func readPage(query url.Values) (Page, error) {
	page := Page{Take: DefaultTake}
	for key, values := range query {
		name := strings.ToLower(key)
		if name != "skip" && name != "take" || len(values) == 0 || values[0] == "" {
			continue
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 0 || n > MaxInt32 {
			return page, resource.Errorf(resource.Invalid, "%s has to be a number from 0 to %d.", name, MaxInt32)
		}
		if name == "skip" {
			page.Skip = n
		} else {
			page.Take = min(n, MaxTake)
		}
	}
	return page, nil
}
