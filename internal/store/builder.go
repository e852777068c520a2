package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store/dialect"
)

// builder gathers the conditions of a SELECT over one kind's table, aliased d.
type builder struct {
	dialect dialect.Dialect
	kind    *resource.Kind
	terms   []string
	args    []any
}

func newBuilder(d dialect.Dialect, k *resource.Kind) *builder { return &builder{dialect: d, kind: k} }

// where adds a condition; each %s is the place of one argument.
func (b *builder) where(condition string, args ...any) {
	places := make([]any, len(args))
	for i, arg := range args {
		places[i] = b.arg(arg)
	}
	b.terms = append(b.terms, fmt.Sprintf(condition, places...))
}

func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

// in adds: column is one of the values. None match no row.
func (b *builder) in(column string, values []any) {
	if len(values) == 0 {
		b.terms = append(b.terms, "1 = 0")
		return
	}
	places := make([]string, len(values))
	for i, v := range values {
		places[i] = b.arg(v)
	}
	b.terms = append(b.terms, column+" IN ("+strings.Join(places, ", ")+")")
}

func (b *builder) inSpace(space string) {
	switch b.kind.Reach {
	case resource.SystemWide:
	case resource.Either:
		b.where("d.space_id IN (%s, '')", space)
	case resource.InSpace:
		b.where("d.space_id = %s", space)
	}
}

func (b *builder) sql() string {
	if len(b.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(b.terms, " AND ")
}

func (q *Query) build(d dialect.Dialect, k *resource.Kind) (*builder, error) {
	b := newBuilder(d, k)
	if err := q.buildSpace(b); err != nil {
		return nil, err
	}
	if q.IDs != nil {
		b.in("d.id", anys(q.IDs))
	}
	if q.Name != "" {
		b.where("d.name_key = %s", resource.Fold(q.Name))
	}
	if part := resource.Fold(q.PartialName); part != "" {
		search := k.Search
		if len(search) == 0 {
			search = []string{"name_key"}
		}
		place := b.arg(part)
		terms := make([]string, len(search))
		for i, column := range search {
			terms[i] = b.dialect.Contains("d."+dialect.Quote(column), place)
		}
		b.terms = append(b.terms, "("+strings.Join(terms, " OR ")+")")
	}
	return b, q.buildWhere(b)
}

func (q *Query) buildSpace(b *builder) error {
	k := b.kind
	switch {
	case k.Reach == resource.SystemWide || q.AllSpaces:
		return nil
	case k.Reach == resource.InSpace:
		if q.Space == "" {
			return fmt.Errorf("store: a list of %s without a space", k.Route)
		}
		b.where("d.space_id = %s", q.Space)
		return nil
	}
	var spaces []any
	if q.Space != "" {
		spaces = append(spaces, q.Space)
	}
	if q.System {
		spaces = append(spaces, "")
	}
	b.in("d.space_id", spaces)
	return nil
}

func (q *Query) buildWhere(b *builder) error {
	for path, values := range q.Where {
		f, ok := b.kind.Field(path)
		if !ok {
			return fmt.Errorf("store: %s has no declared field %q to filter by", b.kind.Name, path)
		}
		if f.Column == "" {
			b.whereValue(f, values)
			continue
		}
		args := make([]any, 0, len(values))
		for _, text := range values {
			arg, err := column(f, text)
			if err != nil {
				return resource.Errorf(resource.Invalid, "'%.60s' is not a value of %s. Please correct the filter.", text, path)
			}
			args = append(args, arg)
		}
		b.in("d."+dialect.Quote(f.Column), args)
	}
	return nil
}

func (b *builder) whereValue(f resource.Field, values []string) {
	args := make([]any, len(values))
	for i, text := range values {
		args[i] = text
		if f.Type == resource.FoldColumn {
			args[i] = resource.Fold(text)
		}
	}
	kind, field := b.arg(b.kind.Name), b.arg(f.Path)
	b.exists("document_value v", "v.document_id = d.id AND v.kind = "+kind+" AND v.field = "+field, "v.value", args)
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}
