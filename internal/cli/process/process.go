package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
)

// maxFile bounds a process file, in bytes.
const maxFile = 16 << 20

// Command is `slipway process`.
func Command(c *console.Console) *cobra.Command {
	var project string
	get, set := getProcess(c, &project), setProcess(c, &project)
	step := console.Group("step", "A process's steps, one by one",
		console.Group("add", "Add a step, or an action to a step",
			addScript(c, &project), addPackage(c, &project)),
		listSteps(c, &project), deleteStep(c, &project))
	cmd := console.Group("process", "What a project's deployments do", get, set, step)
	for _, group := range []*cobra.Command{get, set, step} {
		group.PersistentFlags().StringVarP(&project, "project", "p", "", "the project")
		// The flag was declared in the line above.
		_ = group.MarkPersistentFlagRequired("project")
	}
	return cmd
}

// loaded is a project's process and where it came from.
type loaded struct {
	path string
	doc  client.Document
}

func load(ctx context.Context, cl *client.Client, project string) (loaded, error) {
	owner, err := kind.Project().Find(ctx, cl, project)
	if err != nil {
		return loaded{}, err
	}
	path, err := cl.Path(ctx, "deploymentprocesses/"+url.PathEscape(owner.Text("DeploymentProcessId")))
	if err != nil {
		return loaded{}, err
	}
	l := loaded{path: path}
	return l, cl.Get(ctx, path, nil, &l.doc)
}

func (l loaded) save(ctx context.Context, cl *client.Client) (client.Document, error) {
	var saved client.Document
	return saved, cl.Put(ctx, l.path, l.doc, &saved)
}

func getProcess(c *console.Console, project *string) *cobra.Command {
	var asYAML bool
	cmd := &cobra.Command{
		Use: "get", Aliases: []string{"export"}, Short: "Print the process as JSON or YAML, to keep or to edit",
		Example: "  slipway process get --project Shop > process.json\n  slipway process get --project Shop --yaml > process.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.Client()
			if err != nil {
				return err
			}
			l, err := load(cmd.Context(), cl, *project)
			if err != nil {
				return err
			}
			return write(c, l.doc, asYAML)
		},
	}
	cmd.Flags().BoolVar(&asYAML, "yaml", false, "print YAML")
	return cmd
}

// write prints what process set reads: the steps, not what the server adds.
func write(c *console.Console, doc client.Document, asYAML bool) error {
	out := map[string]json.RawMessage{"Steps": doc["Steps"]}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("encode process: %w", err)
	}
	if asYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("encode process: %w", err)
		}
	}
	_, err = fmt.Fprintln(c.Out, strings.TrimRight(string(data), "\n"))
	return err
}

func setProcess(c *console.Console, project *string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "set --file FILE", Aliases: []string{"import"}, Short: "Replace the process with that of a JSON or YAML file",
		Long: "Replace the process with that of a file as `process get` prints it: an object with Steps. A file\n" +
			"named - is standard input. Releases that exist keep the process they were made with.",
		Example: "  slipway process set --project Shop --file process.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			steps, err := readSteps(c, file)
			if err != nil {
				return err
			}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			l, err := load(cmd.Context(), cl, *project)
			if err != nil {
				return err
			}
			l.doc["Steps"] = steps
			saved, err := l.save(cmd.Context(), cl)
			if err != nil {
				return err
			}
			return printSteps(c, saved)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "JSON or YAML file; - is standard input")
	// The flag was declared in the line above.
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func readSteps(c *console.Console, file string) (json.RawMessage, error) {
	data, err := readFile(c, file)
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSON(data) // JSON is YAML
	if err != nil {
		return nil, console.Usagef("%s is neither JSON nor YAML: %w", file, err)
	}
	var doc client.Document
	if err := json.Unmarshal(asJSON, &doc); err != nil {
		return nil, console.Usagef("%s must be an object with Steps", file)
	}
	var steps []json.RawMessage
	for name, raw := range doc {
		if strings.EqualFold(name, "Steps") && json.Unmarshal(raw, &steps) == nil {
			return raw, nil
		}
	}
	return nil, console.Usagef("%s has no list of Steps", file)
}

func readFile(c *console.Console, name string) ([]byte, error) {
	var from io.Reader = c.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, console.Usagef("%w", err)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, console.Usagef("%s is larger than %d MiB", name, maxFile>>20)
	}
	return data, nil
}
