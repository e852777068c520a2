package job

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/configure"
	"github.com/slipwayhq/slipway/internal/template"
)

// runStep is the action Octopus.Script: a script from the process, or one from
// a package that is unpacked for it.
func (a *attempt) runStep(ctx context.Context) error {
	a.current = filepath.Join(a.work, "run")
	if err := os.Mkdir(a.current, 0o700); err != nil {
		return notStarted("its working folder cannot be made: %v", err)
	}
	fromPackage := strings.EqualFold(a.text(propSource), "Package")
	for _, p := range a.job.GetPackages() {
		if fromPackage && p.GetName() == "" {
			f, err := a.open(p)
			if err != nil {
				return err
			}
			if _, err := a.extract(ctx, p, f, a.current); err != nil {
				return err
			}
			a.put(place(p, "ExtractedPath"), a.current)
			continue
		}
		if err := a.provide(ctx, p); err != nil {
			return err
		}
	}
	raw, _ := a.vars.GetRaw(propParameters)
	spec := script.Spec{Arguments: script.SplitArguments(raw.Text, func(text string) string {
		if raw.Literal {
			return text
		}
		value, _ := a.vars.Evaluate(text)
		return value
	})}
	if err := a.source(&spec, fromPackage); err != nil {
		return err
	}
	return a.runScript(ctx, "The script", spec)
}

func (a *attempt) source(spec *script.Spec, fromPackage bool) (err error) {
	if fromPackage {
		if err := a.configure(a.current); err != nil {
			return err
		}
		spec.File, spec.Syntax, err = a.packageFile()
		return err
	}
	spec.Syntax, err = script.ParseSyntax(a.text(propSyntax))
	if err != nil {
		return failed(0, "%s: %v", propSyntax, err)
	}
	r, ok := a.vars.Get(propBody)
	_, missing := errors.AsType[*template.MissingError](r.Err)
	_, unreadable := errors.AsType[*template.ParseError](r.Err)
	switch {
	case !ok || strings.TrimSpace(r.Text) == "" && r.Err == nil:
		return failed(0, "%s is empty; write the script there", propBody)
	case r.Err != nil && !missing && !unreadable:
		return failed(0, "%s cannot be evaluated: %v", propBody, r.Err)
	}
	spec.Body = r.Text
	return nil
}

// packageFile finds the step's script in the unpacked package.
func (a *attempt) packageFile() (file string, syntax script.Syntax, err error) {
	name, err := a.exact(propFileName)
	if err != nil {
		return "", "", err
	}
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	local := filepath.FromSlash(clean)
	if name == "" || !filepath.IsLocal(local) {
		return "", "", failed(0, "%s is %q; name a file inside the package", propFileName, name)
	}
	syntax, known := script.SyntaxOf(clean)
	if !known {
		return "", "", failed(0, "%s is %q; only .sh, .ps1 and .py files can be run", propFileName, name)
	}
	root, err := os.OpenRoot(a.current)
	if err != nil {
		return "", "", err
	}
	info, err := root.Stat(local)
	if err := errors.Join(err, root.Close()); err != nil || !info.Mode().IsRegular() {
		return "", "", failed(0, "the package has no file %q; correct %s", clean, propFileName)
	}
	return filepath.Join(a.current, local), syntax, nil
}

// configure does to the folder's files what the properties ask.
func (a *attempt) configure(dir string) error {
	options, err := configure.OptionsFrom(a.vars)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	_, err = configure.Run(root, options, a.vars, configureLog{a.log})
	return errors.Join(err, root.Close())
}

type configureLog struct{ log *script.Log }

func (l configureLog) Info(line string) { l.log.Print(script.Verbose, line) }
func (l configureLog) Warn(line string) { l.log.Print(script.Warning, line) }

// runScript runs one script to its end and takes over what it handed back. what
// names it at the start of a sentence.
func (a *attempt) runScript(ctx context.Context, what string, spec script.Spec) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	a.scripts++
	work := filepath.Join(a.work, "script-"+strconv.Itoa(a.scripts))
	spec.Dir, spec.Env, spec.Nonce, spec.Edition = a.current, a.env.Environ, a.nonce, a.text(propEdition)
	spec.Variables = a.scriptVariables()
	cmd, err := script.Prepare(work, spec, a.env.LookPath)
	if err != nil {
		return failed(0, "%s cannot be run: %v", what, err)
	}
	cmd.Stdout, cmd.Stderr = a.log.Stdout(), a.log.Stderr()
	code, err := a.env.Run(ctx, cmd)
	ending := a.log.EndScript()
	a.takeOutputs()
	removed := os.RemoveAll(work)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return failed(code, "%s could not be run: %v", what, err)
	case code != 0:
		if ending.Failure == "" {
			ending.Failure = what + " ended with exit code " + strconv.Itoa(code)
		}
		return failed(code, "%s", ending.Failure)
	case ending.ErrorOutput && a.flag(propErrorOutput, false):
		return failed(0, "%s wrote to its error output, which the step counts as failure", what)
	}
	return removed
}

// takeOutputs lets what follows in the same action read what scripts have set,
// as it is (configuration.md 2.4, abuse 63).
func (a *attempt) takeOutputs() {
	for _, o := range a.log.Collected().Outputs {
		a.vars.PutValue(o.Name, template.Value{Text: o.Value, Literal: true, Sensitive: o.Sensitive})
	}
}
