package script

import (
	"slices"
	"strings"
)

// levels are the categories that a script may switch a stream to.
var levels = map[string]Category{
	"stdout-verbose": Verbose, "stdout-highlight": Highlight, "stdout-wait": Wait,
	"stdout-warning": Warning, "stdout-error": Error, "stdout-default": Info,
	"stderr-progress": Verbose, "stderr-error": Error, "stderr-default": Error,
}

// message acts on a service message; false means that it is none.
func (ln *lane) message(body string) bool {
	l := ln.log
	m, ok := parseMessage(body)
	if !ok {
		l.print(Warning, "A service message could not be read and was left out: its values have to be base64 in quotes.")
		return true
	}
	if l.options.Nonce != "" && m.Attributes["nonce"] != l.options.Nonce {
		l.print(Warning, "The service message "+m.Name+" was ignored: in this step only the script's own functions may send any.")
		return true
	}
	if level, ok := levels[strings.ToLower(m.Name)]; ok {
		target := l.lanes[0]
		if strings.HasPrefix(strings.ToLower(m.Name), "stderr") {
			target = l.lanes[1]
		}
		target.level = level
		return true
	}
	switch strings.ToLower(m.Name) {
	case "setvariable":
		l.setOutput(m)
	case "createartifact":
		l.addArtifact(m)
	case "resultmessage", "fail":
		l.current.Failure = l.mask.String(m.Attributes["message"])
	case "mask":
		l.mask.Add(m.Attributes["value"])
	case "progress":
		if text, ok := progressText(m); ok {
			l.print(Progress, text)
		}
	default:
		l.print(Verbose, "The service message "+m.Name+" means nothing here and was left out.")
	}
	return true
}

func (l *Log) setOutput(m Message) {
	o := Output{Name: m.Attributes["name"], Value: m.Attributes["value"], Sensitive: strings.EqualFold(m.Attributes["sensitive"], "true")}
	if o.Name == "" || len(o.Name) > 500 {
		l.print(Warning, "An output variable without a usable name was left out.")
		return
	}
	if o.Sensitive {
		l.mask.Add(o.Value)
	} else if l.mask.String(o.Value) != o.Value {
		o.Sensitive = true // a secret stays one, whatever it is called (abuse 73)
	}
	l.outBytes += len(o.Value)
	o.Name = l.mask.String(o.Name)
	at := -1
	for i := range l.result.Outputs {
		if strings.EqualFold(l.result.Outputs[i].Name, o.Name) {
			at = i
			l.outBytes -= len(l.result.Outputs[i].Value)
		}
	}
	if l.outBytes > maxOutputBytes || at < 0 && len(l.result.Outputs) >= maxOutputs {
		l.outBytes -= len(o.Value)
		l.print(Warning, "The output variable "+o.Name+" was left out: there are too many, or together they are larger than 4 MiB.")
		return
	}
	outputs := append([]Output(nil), l.result.Outputs...)
	if at >= 0 {
		o.Sensitive = o.Sensitive || outputs[at].Sensitive
		outputs[at] = o
	} else {
		outputs = append(outputs, o)
	}
	l.result.Outputs = outputs
}

func (l *Log) addArtifact(m Message) {
	a := Artifact{Name: m.Attributes["name"], Path: m.Attributes["path"]}
	if a.Path == "" || len(l.result.Artifacts) >= maxArtifacts {
		l.print(Warning, "An artifact was left out: it has no path, or there are more than 200.")
		return
	}
	if a.Name == "" {
		a.Name = a.Path[strings.LastIndexAny(a.Path, `/\`)+1:]
	}
	a.Name = l.mask.String(a.Name)
	l.result.Artifacts = append(slices.Clip(l.result.Artifacts), a)
}
