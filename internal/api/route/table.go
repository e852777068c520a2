package route

import (
	"fmt"
	"slices"
	"strings"
)

// Scope says under which paths a pattern is served.
type Scope uint8

// The scopes. A route that the table holds twice, once for each, says so with
// Both.
const (
	Spaced Scope = iota // in one space; without a space in the path, the default one
	Global              // without a space
	Both                // as Global, and in each space
)

// Table is a routing table. Fill it with Add before the first Find; after that
// it is safe for concurrent use.
type Table[T any] struct {
	global, spaced node[T]
}

type node[T any] struct {
	literals map[string]*node[T] // by lower-case segment
	param    *node[T]
	methods  map[string]leaf[T] // nil where no pattern ends
}

type leaf[T any] struct {
	names []string // of the parameters, in order
	value T
}

// Add puts one entry into the table. A pattern is what stands behind /api or
// /api/{space}: "/projects/{id}/channels"; "" is the root of either. Two
// entries for one method and path are an error, as are parameters without a
// name.
func (t *Table[T]) Add(scope Scope, method, pattern string, value T) error {
	if scope != Spaced {
		if err := t.global.add(method, pattern, value); err != nil {
			return err
		}
	}
	if scope != Global {
		return t.spaced.add(method, pattern, value)
	}
	return nil
}

func (n *node[T]) add(method, pattern string, value T) error {
	var names []string
	for segment := range strings.SplitSeq(strings.Trim(pattern, "/"), "/") {
		if segment == "" {
			continue
		}
		if name, ok := parameter(segment); ok {
			if name == "" || slices.Contains(names, name) {
				return fmt.Errorf("route %s %s: parameter %q has no name of its own", method, pattern, segment)
			}
			names = append(names, name)
			if n.param == nil {
				n.param = new(node[T])
			}
			n = n.param
			continue
		}
		key := strings.ToLower(segment)
		if n.literals == nil {
			n.literals = map[string]*node[T]{}
		}
		if n.literals[key] == nil {
			n.literals[key] = new(node[T])
		}
		n = n.literals[key]
	}
	if n.methods == nil {
		n.methods = map[string]leaf[T]{}
	}
	if _, taken := n.methods[method]; taken {
		return fmt.Errorf("route %s %s: the table has it already", method, pattern)
	}
	n.methods[method] = leaf[T]{names: names, value: value}
	return nil
}

func parameter(segment string) (name string, ok bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

// Found is the answer of Find. Without an entry for the method, Allowed names
// the methods that the path has; without any, there is no such path.
type Found[T any] struct {
	Value   T
	OK      bool
	Allowed []string
	// Space is as the path has it; "" for none. InSpace says that the entry is
	// one of a space's, "" then meaning the default one.
	Space   string
	InSpace bool
	Params  map[string]string
}

// Find looks up the segments behind /api. A literal path beats one with a
// parameter even where it lacks the method: DELETE …/all is refused, never
// read as the document called "all".
func (t *Table[T]) Find(method string, segments []string) Found[T] {
	var refused Found[T]
	for _, reading := range Readings(segments) {
		trees := []*node[T]{&t.spaced}
		if reading.Space == "" {
			trees = []*node[T]{&t.global, &t.spaced}
		}
		for _, tree := range trees {
			values := make([]string, 0, 4)
			end := tree.find(reading.Segments, &values)
			if end == nil {
				continue
			}
			hit, ok := end.methods[method]
			if !ok {
				refused.Allowed = append(refused.Allowed, end.allowed()...)
				continue
			}
			params := make(map[string]string, len(values))
			for i, name := range hit.names {
				params[name] = values[i]
			}
			return Found[T]{Value: hit.value, OK: true, Space: reading.Space, InSpace: tree == &t.spaced, Params: params}
		}
	}
	slices.Sort(refused.Allowed)
	refused.Allowed = slices.Compact(refused.Allowed)
	return refused
}

func (n *node[T]) allowed() []string {
	var methods []string
	for method := range n.methods {
		methods = append(methods, method)
	}
	return methods
}

// find walks down, literals first, and backs up where a walk ends nowhere.
func (n *node[T]) find(segments []string, values *[]string) *node[T] {
	if len(segments) == 0 {
		if n.methods == nil {
			return nil
		}
		return n
	}
	if next := n.literals[strings.ToLower(segments[0])]; next != nil {
		if end := next.find(segments[1:], values); end != nil {
			return end
		}
	}
	if n.param == nil {
		return nil
	}
	mark := len(*values)
	*values = append(*values, segments[0])
	if end := n.param.find(segments[1:], values); end != nil {
		return end
	}
	*values = (*values)[:mark]
	return nil
}
