package api

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Links are the addresses that go with a document, by name: URI templates
// (RFC 6570) relative to the server.
type Links map[string]string

// RootLinks are all links of a root document, for the clients of one space.
func RootLinks(space string) Links {
	links := Links{}
	for line := range strings.Lines(rootLinks) {
		if name, template, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			links[name] = strings.ReplaceAll(template, "{Space}", spacePath(space))
		}
	}
	return links
}

func spacePath(space string) string {
	if space == "" {
		return "/api"
	}
	return "/api/" + url.PathEscape(space)
}

// PathOf is the address of a document: its Self link.
func PathOf(d resource.Doc) string {
	head, kind := d.Head(), d.Kind()
	base := "/api"
	if kind.Reach == resource.InSpace {
		base = spacePath(*head.SpaceID)
	}
	return base + "/" + kind.Route + "/" + url.PathEscape(*head.ID)
}

// placeholder is what the server fills in; what starts otherwise is the
// client's to expand.
var placeholder = regexp.MustCompile(`\{[A-Z][A-Za-z]*\}`)

// LinksOf are the links of a document: Self and its kind's. They depend on the
// document alone, so POST, list and GET show the same ones (octopus-api.md 1.5).
func LinksOf(d resource.Doc) Links {
	self := PathOf(d)
	links := Links{"Self": self}
	for name, template := range d.Kind().Links {
		links[name] = placeholder.ReplaceAllStringFunc(template, func(p string) string {
			switch p {
			case "{Self}":
				return self
			case "{Space}":
				return spacePath(*d.Head().SpaceID)
			}
			return url.PathEscape(textField(d, p[1:len(p)-1]))
		})
	}
	return links
}

// textField is a document's top-level text by its JSON name.
func textField(d resource.Doc, name string) string {
	v := reflect.ValueOf(d).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if jsonName(f) == name && f.Type.Kind() == reflect.String {
			return v.FieldByIndex(f.Index).String()
		}
	}
	return ""
}

// jsonName is the name of a field on the wire; "" for none.
func jsonName(f reflect.StructField) string {
	if !f.IsExported() || f.Anonymous && f.Tag.Get("json") == "" {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch name {
	case "-":
		return ""
	case "":
		return f.Name
	}
	return name
}

// NameOf is what people call a document: its kind's name field.
func NameOf(d resource.Doc) string { return textField(d, d.Kind().NameField) }
