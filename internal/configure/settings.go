package configure

import (
	"errors"
	"fmt"
	"strings"
)

// settings writes variables into the appSettings, connectionStrings and
// applicationSettings of every *.config file (configuration.md 4.1).
func (r *run) settings() error {
	if !r.opts.Settings {
		return nil
	}
	paths, err := r.files.walk(".config")
	if err != nil {
		return fileError("*.config", 0, "", err)
	}
	for _, p := range paths {
		if err := r.settingsFile(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) settingsFile(path string) error {
	f, err := r.files.read(path)
	if err != nil {
		return fileError(path, 0, "", err)
	}
	after, change, err := r.editSettings(path, f.raw)
	if err != nil {
		return err
	}
	if len(change.Variables) == 0 {
		return nil
	}
	return r.finish(change, f, after)
}

// editSettings computes the new bytes.
func (r *run) editSettings(path string, raw []byte) ([]byte, Change, error) {
	s := &settings{run: r, path: path, change: Change{Path: path, Feature: FeatureSettings}}
	text, stored, err := decodeXML(raw)
	var root *element
	if err == nil {
		root, err = parseXML(text)
	}
	if err != nil {
		if r.opts.IgnoreSettingsErrors {
			r.warn("%s: left as it is, it is no XML: %v", where(path, syntaxLine(err), ""), err)
			return raw, s.change, nil
		}
		return nil, s.change, fileError(path, syntaxLine(err), "", err)
	}
	s.text, s.stored = text, stored
	if err := s.visit(root, false); err != nil {
		return nil, s.change, err
	}
	if len(s.edits) == 0 {
		return raw, s.change, nil
	}
	return stored.encode(apply(text, s.edits)), s.change, nil
}

func syntaxLine(err error) int {
	if e, ok := errors.AsType[*syntaxError](err); ok {
		return e.line
	}
	return 0
}

// settings collects the edits to one file.
type settings struct {
	run    *run
	path   string
	text   string
	stored charset
	change Change
	edits  []edit
}

func (s *settings) slice(sp span) string { return s.text[sp.start:sp.end] }

func (s *settings) local(e *element) string { return local(s.slice(e.name)) }

// visit finds settings by local names, whatever their namespace. inSettings is
// set below an applicationSettings element.
func (s *settings) visit(e *element, inSettings bool) error {
	name := s.local(e)
	inSettings = inSettings || name == "applicationSettings"
	if e.parent != nil {
		var err error
		switch parent := s.local(e.parent); {
		case name == "add" && parent == "appSettings":
			err = s.attribute(e, "key", "value")
		case name == "add" && parent == "connectionStrings":
			err = s.attribute(e, "name", "connectionString")
		case name == "setting" && inSettings:
			return s.setting(e)
		}
		if err != nil {
			return err
		}
	}
	for _, child := range e.children {
		if err := s.visit(child, inSettings); err != nil {
			return err
		}
	}
	return nil
}

// find returns the attribute without a prefix.
func (s *settings) find(e *element, name string) *attribute {
	for i := range e.attributes {
		if s.slice(e.attributes[i].name) == name {
			return &e.attributes[i]
		}
	}
	return nil
}

// value finds the variable for the element's key.
func (s *settings) value(e *element, key string) (text, name string, ok bool, err error) {
	a := s.find(e, key)
	if a == nil {
		return "", "", false, nil
	}
	name = unescapeXML(s.slice(a.value))
	v, ok, err := s.run.use(place{s.path, s.text, e.tag.start}, name, &s.change)
	return v.text, name, ok, err
}

func (s *settings) fail(e *element, name string, err error) error {
	return fileError(s.path, lineOf(s.text, e.tag.start), name, err)
}

// attribute writes the value into target, which is made where it is missing.
func (s *settings) attribute(e *element, key, target string) error {
	text, name, ok, err := s.value(e, key)
	if !ok || err != nil {
		return err
	}
	if a := s.find(e, target); a != nil {
		if unescapeXML(s.slice(a.value)) == text {
			return nil
		}
		escaped, err := escapeXML(text, a.quote, s.stored)
		if err != nil {
			return s.fail(e, name, err)
		}
		s.edits = append(s.edits, edit{a.value, escaped})
		return nil
	}
	escaped, err := escapeXML(text, '"', s.stored)
	if err != nil {
		return s.fail(e, name, err)
	}
	last := e.attributes[len(e.attributes)-1].value.end + 1
	s.edits = append(s.edits, edit{span{last, last}, fmt.Sprintf(` %s="%s"`, target, escaped)})
	return nil
}

// setting writes the text of the element's value child, which is made where it
// is missing.
func (s *settings) setting(e *element) error {
	text, name, ok, err := s.value(e, "name")
	if !ok || err != nil {
		return err
	}
	escaped, err := escapeXML(text, 0, s.stored)
	if err != nil {
		return s.fail(e, name, err)
	}
	for _, child := range e.children {
		if s.local(child) != "value" {
			continue
		}
		tag := s.slice(child.name)
		switch {
		case !child.empty && len(child.children) == 0 && s.slice(child.content) == escaped:
		case !child.empty:
			s.edits = append(s.edits, edit{child.content, escaped})
		case escaped != "":
			s.edits = append(s.edits, edit{span{child.tag.end - 2, child.tag.end}, ">" + escaped + "</" + tag + ">"})
		}
		return nil
	}
	made := fmt.Sprintf("<%[1]svalue>%[2]s</%[1]svalue>", strings.TrimSuffix(s.slice(e.name), "setting"), escaped)
	if e.empty {
		made = ">" + made + "</" + s.slice(e.name) + ">"
		s.edits = append(s.edits, edit{span{e.tag.end - 2, e.tag.end}, made})
		return nil
	}
	s.edits = append(s.edits, edit{span{e.content.start, e.content.start}, made})
	return nil
}
