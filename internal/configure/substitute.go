package configure

import (
	"errors"
	"fmt"
)

// maxListed is how many unresolved tokens of one file are listed one by one.
const maxListed = 20

// substitute replaces the tokens in the files of Options.Substitute
// (configuration.md 4.3).
func (r *run) substitute() error {
	paths, err := r.targets(r.opts.Substitute, FeatureSubstitute, r.opts.QuietNoMatch)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := r.substituteFile(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) substituteFile(path string) error {
	f, err := r.files.read(path)
	if err != nil {
		return fileError(path, 0, "", err)
	}
	text, stored, err := decodeText(f.raw)
	if err != nil {
		return fileError(path, 0, "", err)
	}
	result := r.vars.Lenient(text)
	if result.Err != nil {
		return fileError(path, result.Line, "", result.Err)
	}
	for i, problem := range result.Problems {
		reason := fmt.Sprintf("%s has no value", problem.Token)
		if problem.Err != nil {
			reason = problem.Err.Error()
		}
		if r.opts.Strict {
			return fileError(path, problem.Line, "", errors.New(reason))
		}
		if i == maxListed {
			r.warn("%s: %d more tokens were left as they are", path, len(result.Problems)-i)
			break
		}
		r.warn("%s, line %d: left as it is: %s", path, problem.Line, reason)
	}
	if r.opts.OutputEncoding != "" {
		if asked, known := charsetByName(r.opts.OutputEncoding); known {
			stored = asked
		} else {
			r.warn("%s: the output encoding '%s' is not known; the file keeps its own", path, r.opts.OutputEncoding)
		}
	}
	return r.finish(Change{Path: path, Feature: FeatureSubstitute, Sensitive: result.Sensitive}, f, stored.encode(result.Text))
}
