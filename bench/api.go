package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// api speaks the few calls of the public REST contract that the benchmark
// needs.
type api struct {
	url string
	key string
}

type document map[string]any

func (d document) text(name string) string {
	s, _ := d[name].(string) // absent is ""
	return s
}

func (a *api) get(ctx context.Context, path string) (document, error) {
	return a.call(ctx, http.MethodGet, path, "", nil)
}

func (a *api) post(ctx context.Context, path string, body any) (document, error) {
	return a.send(ctx, http.MethodPost, path, body)
}

func (a *api) put(ctx context.Context, path string, body any) (document, error) {
	return a.send(ctx, http.MethodPut, path, body)
}

func (a *api) send(ctx context.Context, method, path string, body any) (document, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return a.call(ctx, method, path, "application/json", bytes.NewReader(text))
}

func (a *api) call(ctx context.Context, method, path, mime string, body io.Reader) (document, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Octopus-ApiKey", a.key)
	if mime != "" {
		req.Header.Set("Content-Type", mime)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a local server; the benchmark's own limit ends it
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s %s: %s: %.500s", method, path, resp.Status, text)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return doc, nil
}

// first is the first document of a collection.
func (a *api) first(ctx context.Context, path string) (document, error) {
	page, err := a.get(ctx, path)
	if err != nil {
		return nil, err
	}
	items, _ := page["Items"].([]any)
	if len(items) == 0 {
		return nil, fmt.Errorf("GET %s: nothing there", path)
	}
	doc, ok := items[0].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("GET %s: not a collection of documents", path)
	}
	return doc, nil
}

func (a *api) upload(ctx context.Context, file string) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", filepath.Base(file))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := part.Write(text); err != nil {
		return err
	}
	if err := form.Close(); err != nil {
		return err
	}
	_, err = a.call(ctx, http.MethodPost, "/api/packages/raw", form.FormDataContentType(), &body)
	return err
}

// environment makes an environment that releases may go to at once: all are
// in one phase of the lifecycle.
func (a *api) environment(ctx context.Context, name string) (id string, err error) {
	made, err := a.post(ctx, "/api/environments", document{"Name": name})
	if err != nil {
		return "", err
	}
	page, err := a.get(ctx, "/api/environments?take=1000")
	if err != nil {
		return "", err
	}
	var all []string
	items, _ := page["Items"].([]any)
	for _, item := range items {
		if doc, ok := item.(map[string]any); ok {
			all = append(all, document(doc).text("Id"))
		}
	}
	lifecycle, err := a.first(ctx, "/api/lifecycles")
	if err != nil {
		return "", err
	}
	lifecycle["Phases"] = []document{{"Name": "All", "OptionalDeploymentTargets": all, "AutomaticDeploymentTargets": []string{}}}
	_, err = a.put(ctx, "/api/lifecycles/"+lifecycle.text("Id"), lifecycle)
	return made.text("Id"), err
}

// project makes a project with one step on the machines of role "bench".
func (a *api) project(ctx context.Context, name string, actions ...document) (string, error) {
	lifecycle, err := a.first(ctx, "/api/lifecycles")
	if err != nil {
		return "", err
	}
	group, err := a.first(ctx, "/api/projectgroups")
	if err != nil {
		return "", err
	}
	project, err := a.post(ctx, "/api/projects", document{
		"Name": name, "LifecycleId": lifecycle.text("Id"), "ProjectGroupId": group.text("Id"),
	})
	if err != nil {
		return "", err
	}
	path := "/api/deploymentprocesses/" + project.text("DeploymentProcessId")
	process, err := a.get(ctx, path)
	if err != nil {
		return "", err
	}
	for i, action := range actions {
		action["Name"] = "Bench"
		if i > 0 {
			action["Name"] = fmt.Sprintf("Bench %d", i+1)
		}
	}
	process["Steps"] = []document{{
		"Name": "Bench", "Properties": document{"Octopus.Action.TargetRoles": "bench"}, "Actions": actions,
	}}
	_, err = a.put(ctx, path, process)
	return project.text("Id"), err
}

func scriptAction(body string) document {
	return document{"ActionType": "Octopus.Script", "Properties": document{
		"Octopus.Action.RunOnServer":         "False",
		"Octopus.Action.Script.ScriptSource": "Inline",
		"Octopus.Action.Script.Syntax":       "Bash",
		"Octopus.Action.Script.ScriptBody":   body,
	}}
}

func packageAction() document {
	return document{
		"ActionType": "Octopus.TentaclePackage",
		"Packages": []document{{
			"Name": "", "PackageId": "Bench", "FeedId": "feeds-builtin", "AcquisitionLocation": "Server",
			"Properties": document{},
		}},
		"Properties": document{
			"Octopus.Action.EnabledFeatures":                 "Octopus.Features.SubstituteInFiles",
			"Octopus.Action.SubstituteInFiles.Enabled":       "True",
			"Octopus.Action.SubstituteInFiles.TargetFiles":   "appsettings.json",
			"Octopus.Action.Package.PackageId":               "Bench",
			"Octopus.Action.Package.FeedId":                  "feeds-builtin",
			"Octopus.Action.Package.DownloadOnTentacle":      "False",
			"Octopus.Action.Package.AutomaticallyRunScripts": "True",
		},
	}
}

// setValues replaces the project's variables.
func (a *api) setValues(ctx context.Context, project string, values map[string]string) error {
	path := "/api/variables/variableset-" + project
	set, err := a.get(ctx, path)
	if err != nil {
		return err
	}
	var variables []document
	for name, value := range values {
		variables = append(variables, document{"Name": name, "Value": value, "Type": "String", "Scope": document{}, "IsEditable": true})
	}
	set["Variables"] = variables
	_, err = a.put(ctx, path, set)
	return err
}

func (a *api) release(ctx context.Context, project, version, packageVersion string) (string, error) {
	body := document{"ProjectId": project, "Version": version}
	if packageVersion != "" {
		body["SelectedPackages"] = []document{{
			"ActionName": "Bench", "StepName": "Bench", "PackageReferenceName": "", "Version": packageVersion,
		}}
	}
	doc, err := a.post(ctx, "/api/releases", body)
	return doc.text("Id"), err
}

// deploy orders the deployment and waits for its task's end.
func (a *api) deploy(ctx context.Context, release, environment string) error {
	task, err := a.order(ctx, release, environment)
	if err != nil {
		return err
	}
	return a.await(ctx, task)
}

// order orders the deployment and returns its task.
func (a *api) order(ctx context.Context, release, environment string) (task string, err error) {
	deployment, err := a.post(ctx, "/api/deployments", document{"ReleaseId": release, "EnvironmentId": environment})
	return deployment.text("TaskId"), err
}

// await waits for the end of a task, which has to be a good one.
func (a *api) await(ctx context.Context, id string) error {
	path := "/api/tasks/" + id
	var task document
	err := poll(ctx, "the end of "+path, 5*time.Millisecond, 5*time.Minute, func() (bool, error) {
		var err error
		task, err = a.get(ctx, path)
		return task["IsCompleted"] == true, err
	})
	if err != nil {
		return err
	}
	if state := task.text("State"); state != "Success" {
		return fmt.Errorf("%s ended %s: %s", path, state, strings.TrimSpace(task.text("ErrorMessage")))
	}
	return nil
}
