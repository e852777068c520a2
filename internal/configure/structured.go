package configure

import (
	"errors"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// structured writes variables into the files of Options.Structured, by the path
// of each value (configuration.md 4.2). JSON is what this version knows; a file
// that is none fails by the name of its format.
func (r *run) structured() error {
	paths, err := r.targets(r.opts.Structured, FeatureStructured, false)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := r.structuredFile(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) structuredFile(path string) error {
	f, err := r.files.read(path)
	if err != nil {
		return fileError(path, 0, "", err)
	}
	after, change, err := r.editStructured(path, f.raw)
	if err != nil {
		return err
	}
	if len(change.Variables) == 0 {
		r.info("%s: %s: no variable has the path of a value", path, FeatureStructured)
		return nil
	}
	return r.finish(change, f, after)
}

// editStructured computes the new bytes. A file without a value to replace
// keeps its layout.
func (r *run) editStructured(path string, raw []byte) ([]byte, Change, error) {
	s := &structured{run: r, path: path, nodes: map[string]*jsonNode{}, change: Change{Path: path, Feature: FeatureStructured}}
	text, stored, err := decodeText(raw)
	if err != nil {
		return nil, s.change, fileError(path, 0, "", err)
	}
	doc, err := parseJSON(text)
	if err != nil {
		return nil, s.change, r.notJSON(path, err)
	}
	s.text = text
	for _, name := range r.vars.Names() {
		s.reach = max(s.reach, len(strings.ToLower(name)))
	}
	s.index(doc.root, "")
	if err := s.replace(); err != nil || len(s.change.Variables) == 0 {
		return raw, s.change, err
	}
	newline := newlineOf(text)
	out := writeJSON(doc, newline)
	if strings.TrimRight(text, "\r\n") != text {
		out += newline
	}
	return stored.encode(out), s.change, nil
}

// notJSON says what a file is that is not JSON.
func (r *run) notJSON(name string, err error) error {
	format := ""
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		format = "YAML"
	case ".xml", ".config":
		format = "XML"
	case ".properties":
		format = "Properties"
	}
	if format == "" || r.opts.JSONOnly {
		return fileError(name, syntaxLine(err), "", err)
	}
	return fileError(name, 0, "", unsupported(format+" structured values are"))
}

// structured replaces the values of one document.
type structured struct {
	run    *run
	path   string
	text   string
	nodes  map[string]*jsonNode // by path, folded; of two equal paths the last
	reach  int                  // length of the longest path that a variable can name
	change Change
}

// index notes each value under the names and indexes that lead to it, joined
// by colons, as far as a variable's name can follow.
func (s *structured) index(n *jsonNode, at string) {
	if len(at) > s.reach {
		return
	}
	if at != "" {
		s.nodes[at] = n
	}
	for i, m := range n.members {
		step := strconv.Itoa(i)
		if n.kind == jsonObject {
			step = strings.ToLower(m.name)
		}
		if at != "" {
			step = at + ":" + step
		}
		s.index(m.value, step)
	}
}

// replace goes through the variables in order. A value inside one that is
// replaced whole goes with it.
func (s *structured) replace() error {
	for _, name := range s.run.vars.Names() {
		n := s.nodes[strings.ToLower(name)]
		if n == nil || ours(name) {
			continue
		}
		before := slices.Clone(s.change.Variables)
		v, _, err := s.run.use(place{s.path, s.text, n.pos}, name, &s.change)
		if err != nil {
			return err
		}
		with, err := convert(n.kind, v)
		if err != nil {
			s.change.Variables = before
			s.run.warn("%s, line %d: variable '%s' was not written: %v", s.path, lineOf(s.text, n.pos), name, err)
			continue
		}
		n.with = with
	}
	return nil
}

// ours says whether a name is one of the product's own, which never replace
// anything. Octopus:… is not: it is a path.
func ours(name string) bool {
	const prefix = "octopus"
	if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return false
	}
	return len(name) == len(prefix) || name[len(prefix)] != ':'
}

// convert gives a variable the kind of the value it replaces, as far as it has
// that form; else it becomes a string.
func convert(kind jsonKind, v value) (*jsonNode, error) {
	if v.null {
		if kind != jsonString && kind != jsonNull {
			return nil, errors.New("it is null, and the value in the file is not")
		}
		return &jsonNode{raw: "null"}, nil
	}
	switch kind {
	case jsonObject, jsonArray:
		doc, err := parseJSON(v.text)
		if err != nil {
			return nil, errors.New("the value in the file has parts, and the variable is no JSON")
		}
		return doc.root, nil
	case jsonNumber:
		if text, ok := convertNumber(v.text); ok {
			return &jsonNode{kind: jsonNumber, raw: text}, nil
		}
	case jsonBool:
		if text := strings.ToLower(strings.TrimSpace(v.text)); text == "true" || text == "false" {
			return &jsonNode{kind: jsonBool, raw: text}, nil
		}
	case jsonString, jsonNull:
	}
	return &jsonNode{kind: jsonString, raw: quoteJSON(v.text)}, nil
}

// convertNumber reads an integer, else a finite number, and writes it in its
// plain form.
func convertNumber(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10), true
	}
	if text == "" || strings.Trim(text, "0123456789+-.eE") != "" {
		return "", false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", false
	}
	if size := math.Abs(f); f != 0 && (size < 1e-5 || size >= 1e15) {
		return strings.ToUpper(strconv.FormatFloat(f, 'e', -1, 64)), true
	}
	out := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(out, ".") {
		out += ".0"
	}
	return out, true
}
