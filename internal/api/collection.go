package api

import (
	"net/url"
	"strconv"
	"strings"
)

// Paging of lists (octopus-api.md 1.6, abuse 66).
const (
	DefaultTake = 30
	MaxTake     = 1000
	pageLinks   = 20 // numbered links per collection
)

// Collection is one page of a list.
type Collection[T any] struct {
	ItemType       string
	TotalResults   int
	ItemsPerPage   int
	NumberOfPages  int
	LastPageNumber int
	Items          []T
	IsStale        bool
	Links          Links
}

// Page is the part of a list that a request asks for.
type Page struct{ Skip, Take int }

// CollectionOf is a page of a list as the wire has it. Its links keep the
// request's filters; Page.Next is there only when there is more.
func CollectionOf[T any](c *Call, itemType string, items []T, total int) Collection[T] {
	page := c.page
	pages := max(1, (total+max(page.Take, 1)-1)/max(page.Take, 1))
	if items == nil {
		items = []T{}
	}
	path := c.Path()
	link := func(n int) string { return pageLink(path, c.query, n*page.Take, page.Take) }
	links := Links{
		"Self":         pageLink(path, c.query, page.Skip, page.Take),
		"Template":     path + "{?" + strings.Join(c.route.queryNames(), ",") + "}",
		"Page.All":     pageLink(path, c.query, 0, MaxInt32),
		"Page.Current": pageLink(path, c.query, page.Skip, page.Take),
		"Page.Last":    link(pages - 1),
	}
	for n := range min(pages, pageLinks) {
		links["Page."+strconv.Itoa(n)] = link(n)
	}
	if page.Take > 0 && page.Skip+page.Take < total {
		links["Page.Next"] = pageLink(path, c.query, page.Skip+page.Take, page.Take)
	}
	if page.Skip > 0 {
		links["Page.Previous"] = pageLink(path, c.query, max(0, page.Skip-page.Take), page.Take)
	}
	return Collection[T]{
		ItemType: itemType, TotalResults: total, ItemsPerPage: page.Take, NumberOfPages: pages, LastPageNumber: pages - 1,
		Items: items, Links: links,
	}
}

// After makes the link to the next page name the item after which it begins, so
// that the page costs the same however deep it lies; "" is the last item.
func (c Collection[T]) After(item string) Collection[T] {
	if next, ok := c.Links["Page.Next"]; ok && item != "" {
		c.Links["Page.Next"] = next + "&before=" + url.QueryEscape(item)
	}
	return c
}

// MaxInt32 is what clients send as take when they want everything.
const MaxInt32 = 1<<31 - 1

// pageLink is the address of a page with the filters of the request.
func pageLink(path string, query url.Values, skip, take int) string {
	kept := url.Values{}
	for name, values := range query {
		switch strings.ToLower(name) {
		case "skip", "take", "before":
		default:
			kept[name] = values
		}
	}
	kept.Set("skip", strconv.Itoa(skip))
	kept.Set("take", strconv.Itoa(take))
	return path + "?" + kept.Encode()
}

// SliceOf is a page of a list that is in memory as a whole.
func SliceOf[T any](c *Call, itemType string, all []T) Collection[T] {
	from := min(c.page.Skip, len(all))
	to := min(from+c.page.Take, len(all))
	return CollectionOf(c, itemType, all[from:to], len(all))
}
