package api

import (
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slipwayhq/slipway/internal/resource"
)

// schemas makes JSON Schemas of the Go types. Requests have their own set:
// there nothing is required, and what is hidden may not be sent either.
type schemas struct {
	out, in   huma.Registry
	outs, ins *namer
	kinds     map[string]bool // components of documents that have their links
}

const components = "#/components/schemas/"

func newSchemas() *schemas {
	s := &schemas{outs: newNamer(""), ins: newNamer("Input"), kinds: map[string]bool{}}
	s.out = huma.NewMapRegistry(components, s.outs.name)
	s.in = huma.NewMapRegistry(components, s.ins.name)
	for _, r := range []huma.Registry{s.out, s.in} {
		r.RegisterTypeAlias(reflect.TypeFor[resource.Time](), reflect.TypeFor[timeSchema]())
		r.RegisterTypeAlias(reflect.TypeFor[resource.TimeSpan](), reflect.TypeFor[timeSpanSchema]())
		r.RegisterTypeAlias(reflect.TypeFor[resource.Sensitive](), reflect.TypeFor[SensitiveValue]())
		r.RegisterTypeAlias(reflect.TypeFor[resource.PropertyValue](), reflect.TypeFor[propertyValueSchema]())
		r.RegisterTypeAlias(reflect.TypeFor[resource.Properties](), reflect.TypeFor[map[string]resource.PropertyValue]())
		r.RegisterTypeAlias(reflect.TypeFor[resource.Endpoint](), reflect.TypeFor[endpointSchema]())
		r.RegisterTypeAlias(reflect.TypeFor[json.RawMessage](), reflect.TypeFor[anySchema]())
		r.RegisterTypeAlias(reflect.TypeFor[Item](), reflect.TypeFor[anySchema]())
	}
	return s
}

// namer gives each type a name of its own among the components.
type namer struct {
	suffix string
	names  map[reflect.Type]string
	taken  map[string]reflect.Type
}

func newNamer(suffix string) *namer {
	return &namer{suffix: suffix, names: map[reflect.Type]string{}, taken: map[string]reflect.Type{}}
}

// name is the type's own name; that of its package in front of it where
// another type was first, and a number where that is taken too.
func (n *namer) name(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name, ok := n.names[t]; ok {
		return name
	}
	if t.Name() == "" && hint == "" {
		hint = "Object"
	}
	base := strings.ReplaceAll(huma.DefaultSchemaNamer(t, hint), "Struct {}", "Empty") + n.suffix
	if t.Kind() != reflect.Struct {
		return base
	}
	if t.NumField() == 0 && t.Name() == "" {
		base = "Empty" + n.suffix
	}
	name := base
	for i := 1; n.taken[name] != nil; i++ {
		if name = upperFirst(path.Base(t.PkgPath())) + base; i > 1 || t.PkgPath() == "" {
			name = base + strconv.Itoa(i+1)
		}
	}
	n.names[t], n.taken[name] = name, t
	return name
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// SensitiveValue is how a secret looks on the wire (octopus-api.md 1.8).
type SensitiveValue struct {
	HasValue bool
	NewValue *string `json:",omitempty"`
	Hint     *string `json:",omitempty"`
}

type (
	timeSchema          struct{}
	timeSpanSchema      struct{}
	propertyValueSchema struct{}
	anySchema           struct{}
	endpointSchema      struct{}
)

// Schema implements huma.SchemaProvider: what all endpoints have, and the
// members of their style beside it.
func (endpointSchema) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"CommunicationStyle"}, AdditionalProperties: true,
		Properties: map[string]*huma.Schema{"CommunicationStyle": text, "Uri": text, "Thumbprint": text},
	}
}

// Schema implements huma.SchemaProvider.
func (timeSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

// Schema implements huma.SchemaProvider.
func (timeSpanSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "[d.]hh:mm:ss[.fffffff]", Nullable: true}
}

// Schema implements huma.SchemaProvider.
func (propertyValueSchema) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, r.Schema(reflect.TypeFor[SensitiveValue](), true, "")}}
}

// Schema implements huma.SchemaProvider.
func (anySchema) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

func (s *schemas) errorBody() *huma.Schema {
	return s.out.Schema(reflect.TypeFor[ErrorBody](), true, "")
}

// request is the schema of a route's body; nil for none.
func (s *schemas) request(r Route) *huma.Schema {
	switch {
	case r.Takes != nil:
		return s.kind(s.in, s.ins, r.Takes)
	case r.In == nil || r.In == reflect.TypeFor[None]():
		return nil
	}
	return s.in.Schema(r.In, true, operationID(r.Method, r.Pattern)+"Request")
}

// answer is the content of a route's success.
func (s *schemas) answer(r Route) map[string]*huma.MediaType {
	if r.Binary != "" {
		return map[string]*huma.MediaType{r.Binary: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	}
	if r.Gives == nil {
		return jsonContent(s.out.Schema(r.Out, true, operationID(r.Method, r.Pattern)+"Answer"))
	}
	one := s.kind(s.out, s.outs, r.Gives)
	switch r.Many {
	case Bare:
		return jsonContent(&huma.Schema{Type: huma.TypeArray, Items: one})
	case Some:
		return jsonContent(s.collection(r.Gives, one))
	case One:
	}
	return jsonContent(one)
}

// kind is the schema of a document: its type without the hidden members, with
// those that only the wire has.
func (s *schemas) kind(registry huma.Registry, names *namer, k *resource.Kind) *huma.Schema {
	ref := registry.Schema(reflect.TypeOf(k.New()), true, k.Name)
	name := strings.TrimPrefix(ref.Ref, components)
	if s.kinds[name] {
		return ref
	}
	s.kinds[name] = true
	schema := registry.Map()[name]
	for _, hidden := range k.Hidden {
		delete(schema.Properties, hidden)
		schema.Required = slices.DeleteFunc(schema.Required, func(r string) bool { return r == hidden })
	}
	if extra := wireMembers(k); extra != nil {
		more := registry.Schema(extra, false, k.Name+"Wire")
		maps.Copy(schema.Properties, more.Properties)
		schema.Required = append(schema.Required, more.Required...)
		delete(registry.Map(), names.name(extra, ""))
	}
	schema.Properties["Links"] = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}}
	schema.Required = append(schema.Required, "Links")
	return ref
}

func (s *schemas) collection(k *resource.Kind, one *huma.Schema) *huma.Schema {
	name := k.Name + "Collection"
	if !s.kinds[name] {
		s.kinds[name] = true
		page := s.out.Schema(reflect.TypeFor[Collection[listed]](), false, name)
		copied := *page
		copied.Properties = maps.Clone(page.Properties)
		copied.Properties["Items"] = &huma.Schema{Type: huma.TypeArray, Items: one}
		s.out.Map()[name] = &copied
	}
	return &huma.Schema{Ref: components + name}
}

// finish is the set of all components.
func (s *schemas) finish() huma.Registry {
	all := s.out.Map()
	for name, schema := range all {
		allowNull(schema, s.out.TypeFromRef(components+name))
	}
	delete(all, s.outs.name(reflect.TypeFor[Collection[listed]](), ""))
	for name, schema := range s.in.Map() {
		schema.Required = nil
		all[name] = schema
	}
	for _, schema := range all {
		loosen(schema)
	}
	return s.out
}

// allowNull says of each member that points at an object that it may be null:
// Huma says so of scalars only.
func allowNull(s *huma.Schema, t reflect.Type) {
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		property := s.Properties[jsonName(f)]
		if property == nil || property.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(f.Tag.Get("json"), "omitempty") {
			continue
		}
		s.Properties[jsonName(f)] = &huma.Schema{OneOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}}
	}
}

// loosen takes off what Huma says and the wire does not: unknown members are
// welcome, and lists are never null.
func loosen(s *huma.Schema) {
	if s == nil {
		return
	}
	if closed, ok := s.AdditionalProperties.(bool); ok && !closed {
		s.AdditionalProperties = nil
	}
	if open, ok := s.AdditionalProperties.(*huma.Schema); ok {
		loosen(open)
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	slices.Sort(s.Required)
	loosen(s.Items)
	for _, property := range s.Properties {
		loosen(property)
	}
	for _, part := range s.OneOf {
		loosen(part)
	}
}

// listed stands for a document where only its kind is known.
type listed struct{}
