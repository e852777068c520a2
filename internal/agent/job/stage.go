package job

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/slipwayhq/slipway/internal/agent/script"
)

// stageExtensions are those that a stage's script may have; .csx cannot be run
// here, and is not passed over in silence.
var stageExtensions = []string{".ps1", ".csx", ".sh", ".py"}

// packaged runs the one script of the stage that lies in the root of the
// package, then removes all of them (configuration.md 5.1).
func (d *deployment) packaged(ctx context.Context, stage string) error {
	if stage != "DeployFailed" && !d.flag(propRunScripts, true) {
		return nil
	}
	names, err := d.packagedNames(stage)
	if err != nil || len(names) == 0 {
		return err
	}
	pick := ""
	for _, extension := range script.Preference(runtime.GOOS) {
		for _, name := range names {
			if pick == "" && strings.EqualFold(filepath.Ext(name), extension) {
				pick = name
			}
		}
	}
	if pick == "" {
		return failed(0, "the package's script %s cannot be run here; write it in Bash, PowerShell or Python", names[0])
	}
	syntax, _ := script.SyntaxOf(pick)
	d.log.Print(script.Verbose, "Running the package's script "+pick)
	err = d.runScript(ctx, "The package's script "+pick, script.Spec{Syntax: syntax, File: filepath.Join(d.current, pick)})
	if err != nil {
		return err
	}
	return d.deletePackaged(stage)
}

// packagedNames lists the stage's scripts in the root of the current folder.
func (d *deployment) packagedNames(stage string) (names []string, err error) {
	if d.current == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(d.current)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		extension := filepath.Ext(e.Name())
		if !e.Type().IsRegular() || !strings.EqualFold(strings.TrimSuffix(e.Name(), extension), stage) {
			continue
		}
		for _, known := range stageExtensions {
			if strings.EqualFold(extension, known) {
				names = append(names, e.Name())
			}
		}
	}
	return names, nil
}

func (d *deployment) deletePackaged(stage string) error {
	if !d.flag(propDeleteScripts, true) {
		return nil
	}
	names, err := d.packagedNames(stage)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(d.current, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.removed[name] = true
	}
	return nil
}

// configured runs the stage's scripts of the process, every language that has
// one. They are kept in the attempt's private folder, not in the package's:
// they may hold secrets, and would be in the receipt.
func (d *deployment) configured(ctx context.Context, stage string) error {
	if !d.has(featureScripts) {
		return nil
	}
	for _, extension := range stageExtensions {
		name := stage + extension
		r, ok := d.vars.Get(propCustomScripts + name)
		if !ok || strings.TrimSpace(r.Text) == "" {
			continue
		}
		syntax, known := script.SyntaxOf(name)
		if !known {
			return failed(0, "the step's script %s cannot be run here; write it in Bash, PowerShell or Python", name)
		}
		d.log.Print(script.Verbose, "Running the step's script "+name)
		if err := d.runScript(ctx, "The step's script "+name, script.Spec{Syntax: syntax, Body: r.Text}); err != nil {
			return err
		}
	}
	return nil
}
