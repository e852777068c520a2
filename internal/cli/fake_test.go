package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/slipwayhq/slipway/internal/packages"
)

// fakeAPI is a small server that speaks the part of the wire contract
// (octopus-api.md) that the command line uses. It is a fake peer: real
// requests go over a real socket.
type fakeAPI struct {
	*httptest.Server

	mu    sync.Mutex
	docs  map[string][]map[string]any // by collection
	next  int
	polls map[string]int // of a task's details
}

func startFakeAPI() *fakeAPI {
	f := &fakeAPI{docs: map[string][]map[string]any{}, polls: map[string]int{}}
	f.add("tasks", map[string]any{"Id": "ServerTasks-7", "Name": "Deploy", "State": "Success"})
	for collection, names := range map[string][]string{
		"spaces": {"Default"}, "environments": {"Test", "Production", "Broken", "Slow", "Canceled", "Strange", "Undecided"},
		"projectgroups": {"Default Project Group"}, "lifecycles": {"Default Lifecycle"},
		"machines": {"web-01"}, "users": {"admin"},
	} {
		for _, name := range names {
			f.add(collection, map[string]any{"Name": name, "Username": name, "IsDefault": collection == "spaces"})
		}
	}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	return f
}

var idPrefix = map[string]string{
	"spaces": "Spaces", "environments": "Environments", "projectgroups": "ProjectGroups", "lifecycles": "Lifecycles",
	"projects": "Projects", "machines": "Machines", "users": "Users", "releases": "Releases", "deployments": "Deployments",
	"tasks": "ServerTasks", "channels": "Channels", "apikeys": "APIKeys",
}

func (f *fakeAPI) add(collection string, doc map[string]any) map[string]any {
	f.next++
	if _, ok := doc["Id"]; !ok {
		doc["Id"] = fmt.Sprintf("%s-%d", idPrefix[collection], f.next)
	}
	switch id := fmt.Sprint(doc["Id"]); collection {
	case "projects":
		doc["VariableSetId"], doc["DeploymentProcessId"] = "variableset-"+id, "deploymentprocess-"+id
		f.docs["variables"] = append(f.docs["variables"], map[string]any{
			"Id": "variableset-" + id, "Version": 0, "Variables": []any{}, "ScopeValues": f.scopeValues(),
		})
		f.docs["deploymentprocesses"] = append(f.docs["deploymentprocesses"], map[string]any{
			"Id": "deploymentprocess-" + id, "Version": 0, "Steps": []any{},
		})
	case "machines":
		doc["Endpoint"] = map[string]any{"CommunicationStyle": "TentacleActive"}
	}
	f.docs[collection] = append(f.docs[collection], doc)
	return doc
}

func (f *fakeAPI) scopeValues() map[string]any {
	var environments []any
	for _, e := range f.docs["environments"] {
		environments = append(environments, map[string]any{"Id": e["Id"], "Name": e["Name"]})
	}
	return map[string]any{"Environments": environments}
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch key := r.Header.Get("X-Octopus-ApiKey"); {
	case key == "API-VIEWER" && r.Method != http.MethodGet:
		refuse(w, http.StatusForbidden, "You do not have permission to do this.")
		return
	case key != "API-ADMIN" && key != "API-VIEWER":
		refuse(w, http.StatusUnauthorized, "You must be logged in.")
		return
	}
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/api"), "/"), "/")
	if strings.HasPrefix(path[0], "Spaces-") {
		path = path[1:]
	}
	f.route(w, r, path)
}

func (f *fakeAPI) route(w http.ResponseWriter, r *http.Request, path []string) {
	switch joined := strings.Join(path, "/"); {
	case joined == "users/me":
		answer(w, f.docs["users"][0])
		return
	case joined == "releases/create/v1":
		f.createRelease(w, r)
		return
	case joined == "deployments/create/untenanted/v1":
		f.deploy(w, r)
		return
	case joined == "packages/raw":
		f.upload(w, r)
		return
	case path[0] == "tasks" && len(path) == 3:
		f.task(w, path[1], path[2])
		return
	case path[0] == "artifacts":
		f.artifact(w, r, path[1:])
		return
	case path[0] == "projects" && len(path) > 2:
		f.ofProject(w, r, path[1], path[2:])
		return
	case path[0] == "users" && len(path) > 2:
		path = path[2:]
	}
	f.crud(w, r, path)
}

func (f *fakeAPI) crud(w http.ResponseWriter, r *http.Request, path []string) {
	collection := path[0]
	if len(path) == 1 {
		if r.Method == http.MethodPost {
			doc := map[string]any{}
			_ = json.NewDecoder(r.Body).Decode(&doc)
			if collection == "apikeys" {
				doc["ApiKey"] = "API-NEWKEY"
			}
			f.create(w, collection, doc)
			return
		}
		f.page(w, r, f.docs[collection])
		return
	}
	at := slices.IndexFunc(f.docs[collection], func(d map[string]any) bool { return d["Id"] == path[1] })
	if at < 0 {
		refuse(w, http.StatusNotFound, "The resource '"+path[1]+"' was not found.")
		return
	}
	switch r.Method {
	case http.MethodPut:
		doc := map[string]any{}
		_ = json.NewDecoder(r.Body).Decode(&doc)
		f.docs[collection][at] = doc
	case http.MethodDelete:
		f.docs[collection] = slices.Delete(f.docs[collection], at, at+1)
		answer(w, map[string]any{})
		return
	}
	answer(w, f.docs[collection][at])
}

func (f *fakeAPI) create(w http.ResponseWriter, collection string, doc map[string]any) {
	for _, other := range f.docs[collection] {
		if doc["Name"] != nil && other["Name"] == doc["Name"] {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{
				"ErrorMessage": "There was a problem with your request.",
				"Errors":       []string{fmt.Sprintf("The name %v is taken. Please choose another.", doc["Name"])},
			})
			return
		}
	}
	w.WriteHeader(http.StatusCreated)
	answer(w, f.add(collection, doc))
}

// page pages by two, so that every list of three follows a link.
func (f *fakeAPI) page(w http.ResponseWriter, r *http.Request, docs []map[string]any) {
	skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
	found := []map[string]any{}
	for _, doc := range docs {
		name, _ := doc["Name"].(string)
		if strings.Contains(strings.ToLower(name), strings.ToLower(r.URL.Query().Get("partialName"))) {
			found = append(found, doc)
		}
	}
	end := min(skip+2, len(found))
	links := map[string]string{}
	if end < len(found) {
		query := r.URL.Query()
		query.Set("skip", strconv.Itoa(end))
		links["Page.Next"] = r.URL.Path + "?" + query.Encode()
	}
	answer(w, map[string]any{"TotalResults": len(found), "Items": found[min(skip, end):end], "Links": links})
}

func (f *fakeAPI) ofProject(w http.ResponseWriter, r *http.Request, project string, rest []string) {
	if rest[0] == "releases" && len(rest) == 2 {
		for _, doc := range f.docs["releases"] {
			if doc["ProjectId"] == project && doc["Version"] == rest[1] {
				answer(w, doc)
				return
			}
		}
		refuse(w, http.StatusNotFound, "The resource '"+rest[1]+"' was not found.")
		return
	}
	f.page(w, r, f.docs[rest[0]])
}

func (f *fakeAPI) named(collection, name string) map[string]any {
	for _, doc := range f.docs[collection] {
		if doc["Name"] == name || doc["Version"] == name {
			return doc
		}
	}
	return nil
}

func (f *fakeAPI) createRelease(w http.ResponseWriter, r *http.Request) {
	var body struct{ ProjectName, ReleaseVersion string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	project := f.named("projects", body.ProjectName)
	if project == nil {
		refuse(w, http.StatusNotFound, "There is no project "+body.ProjectName+".")
		return
	}
	doc := f.add("releases", map[string]any{"ProjectId": project["Id"], "Version": body.ReleaseVersion})
	w.WriteHeader(http.StatusCreated)
	answer(w, map[string]any{"ReleaseId": doc["Id"], "ReleaseVersion": body.ReleaseVersion})
}

func (f *fakeAPI) deploy(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ProjectName, ReleaseVersion string
		EnvironmentNames            []string
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	if f.named("releases", body.ReleaseVersion) == nil {
		refuse(w, http.StatusNotFound, "There is no release "+body.ReleaseVersion+".")
		return
	}
	started := []map[string]any{}
	for _, environment := range body.EnvironmentNames {
		deployment := f.add("deployments", map[string]any{"EnvironmentId": environment})
		// The id says how the task will go.
		task := f.add("tasks", map[string]any{
			"Id": "ServerTasks-" + environment, "Name": "Deploy", "State": "Executing",
			"Description": fmt.Sprintf("Deploy %s %s to %s", body.ProjectName, body.ReleaseVersion, environment),
		})
		started = append(started, map[string]any{"DeploymentId": deployment["Id"], "ServerTaskId": task["Id"]})
	}
	w.WriteHeader(http.StatusCreated)
	answer(w, map[string]any{"DeploymentServerTasks": started})
}

func (f *fakeAPI) upload(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	part, err := form.NextPart()
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	name, err := packages.ParseFileName(part.FileName())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	size, _ := io.Copy(io.Discard, part)
	id := "packages-" + name.ID + "." + name.Version
	for _, doc := range f.docs["packages"] {
		if doc["Id"] == id && r.URL.Query().Get("overwriteMode") == "FailIfExists" {
			refuse(w, http.StatusConflict, "The package "+id+" exists already.")
			return
		} else if doc["Id"] == id {
			answer(w, doc)
			return
		}
	}
	w.WriteHeader(http.StatusCreated)
	answer(w, f.add("packages", map[string]any{"Id": id, "PackageId": name.ID, "Version": name.Version, "PackageSizeBytes": size}))
}

// task plays the task's story, one act per poll.
func (f *fakeAPI) task(w http.ResponseWriter, id, what string) {
	task := f.docs["tasks"][slices.IndexFunc(f.docs["tasks"], func(d map[string]any) bool { return d["Id"] == id })]
	switch what {
	case "raw":
		_, _ = io.WriteString(w, "the whole log\n")
		return
	case "cancel":
		task["State"], task["IsCompleted"] = "Canceled", true
		answer(w, task)
		return
	}
	f.polls[id]++
	status := "Running"
	if end := map[string][2]string{
		"ServerTasks-Test": {"Success", "Success"}, "ServerTasks-Broken": {"Failed", "Failed"},
		"ServerTasks-Canceled": {"Canceled", "Canceled"}, "ServerTasks-Strange": {"Vanished", "Running"},
	}[id]; f.polls[id] > 2 && end[0] != "" {
		task["State"], task["IsCompleted"], status = end[0], true, end[1]
	}
	if id == "ServerTasks-Undecided" && f.polls[id] > 1 {
		task["HasPendingInterruptions"], task["PendingInterruptionTypes"] = true, []string{"UnknownOutcome"}
	}
	answer(w, map[string]any{"Task": task, "Progress": map[string]any{"ProgressPercentage": 50}, "ActivityLogs": []any{
		map[string]any{"Id": id, "Name": "Deploy", "Status": status, "Children": []any{
			map[string]any{"Id": id + "/1", "Name": "Step 1: Web", "Status": status, "Children": []any{
				map[string]any{"Id": id + "/1/1", "Name": "web-01", "Status": status, "LogElements": []any{
					map[string]any{"Category": "Info", "MessageText": "installing"},
					map[string]any{"Category": "Error", "MessageText": "exit code 7"},
				}},
			}},
		}},
	}})
}

// artifact serves files with the content "hello\n", one of which is announced
// as another.
func (f *fakeAPI) artifact(w http.ResponseWriter, r *http.Request, path []string) {
	const sum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	names := map[string]string{"Artifacts-1": "report.html", "Artifacts-2": "../../etc/passwd", "Artifacts-3": "..", "Artifacts-4": "broken"}
	about := func(id string) map[string]any {
		doc := map[string]any{"Id": id, "Filename": names[id], "Source": "web-01", "ServerTaskId": "ServerTasks-7", "Size": 6, "Sha256": sum}
		if names[id] == "broken" {
			doc["Sha256"] = strings.Repeat("0", len(sum))
		}
		return doc
	}
	switch regarding := r.URL.Query().Get("regarding"); {
	case len(path) == 0 && (regarding == "ServerTasks-7" || strings.HasPrefix(regarding, "Machines-")):
		f.page(w, r, []map[string]any{about("Artifacts-1")})
	case len(path) == 0:
		f.page(w, r, nil)
	case names[path[0]] == "":
		refuse(w, http.StatusNotFound, "The resource '"+path[0]+"' was not found.")
	case len(path) == 2:
		_, _ = io.WriteString(w, "hello\n")
	default:
		answer(w, about(path[0]))
	}
}

func answer(w http.ResponseWriter, body any) { _ = json.NewEncoder(w).Encode(body) }

func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	answer(w, map[string]any{"ErrorMessage": message})
}
