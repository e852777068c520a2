package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/client"
)

// What projects do, and to whom.
const (
	packageGroup = 3
	cancelGroup  = 0
	failGroup    = 2
)

// script is one action's script as the harness wants it.
type script struct {
	lines int // printed; half of them before it waits
	tail  int // bytes at the end of each line
	most  int // it waits for up to so many tenths of a second, beside 0.2 s
	fails string
	more  string // further lines of the script
}

// text is the script. It writes down its start, prints numbered lines, waits,
// prints the rest, and writes down its end.
func (s script) text(truth string) string {
	return fmt.Sprintf(`a='#{Slipway.Attempt.Id}' t='%s/#{Octopus.Machine.Name}' n=%d
read -r boot </proc/sys/kernel/random/boot_id
printf 'start %%s %%s %%s %%s\n' "$a" "$boot" "$EPOCHREALTIME" $$ >>"$t"; sync "$t"
printf -v tail '%%*s' %d ''; tail=${tail// /x}
for ((i = 1; i <= n / 2; i++)); do printf '%%s %%d %%s\n' "$a" $i "$tail"; done
wait=$((RANDOM %% %d + 2)); sleep $((wait / 10)).$((wait %% 10))
%s
for (( ; i <= n; i++)); do printf '%%s %%d %%s\n' "$a" $i "$tail"; done
code=0
%s
printf 'end %%s %%s %%s %%s %%s\n' "$a" "$EPOCHREALTIME" $code $n %d >>"$t"; sync "$t"
exit $code
`, truth, s.lines, s.tail, s.most, s.more, s.failure(), s.tail)
}

func (s script) failure() string {
	if s.fails == "" {
		return ""
	}
	return fmt.Sprintf(`[ '#{Octopus.Machine.Name}' != %s ] || code=7`, s.fails)
}

// step is one step of a project.
type step struct {
	groups   []int // nil: all machines
	window   string
	limit    int // of machines at once; 0: none
	together bool
	install  bool
	script   script
}

func (s *step) of(a *agent) bool {
	return s.groups == nil || slices.Contains(s.groups, a.group)
}

func (s *step) roles() string {
	if s.groups == nil {
		return "all"
	}
	var names []string
	for _, g := range s.groups {
		names = append(names, fmt.Sprint("g", g))
	}
	return strings.Join(names, ",")
}

// project is one project of the workload.
type project struct {
	name    string
	steps   []step
	fails   bool // a script of it fails on purpose
	cancels bool
	id      string
	version int // of the latest release, for those with packages
}

// plan is the workload.
func workload(machines int) []*project {
	small, quick := script{lines: 20, tail: 60, most: 10}, script{lines: 6, tail: 40, most: 4}
	long := script{lines: 20, tail: 60, most: 28}
	failing := small
	failing.fails = fmt.Sprintf("m%02d", failGroup)
	chatty := script{lines: 300, tail: 1200, most: 10}
	secret := small
	secret.more = `set_octopusvariable Word "word-of-$a" -sensitive`
	kept := quick
	kept.more = `printf '%s\n' "$a" >note.txt; new_octopusartifact "$PWD/note.txt" "note-$a.txt"`
	return []*project{
		{name: "Plain", steps: []step{{groups: []int{0}, script: small}}},
		{name: "Twins", steps: []step{{groups: []int{0}, script: small}, {groups: []int{1}, together: true, script: small}, {groups: []int{0, 1}, script: quick}}},
		{name: "Window", steps: []step{{groups: []int{1, 2}, window: "3", limit: 3, script: small}}},
		{name: "Percent", steps: []step{{window: "25%", limit: max(1, machines/4), script: quick}}},
		{name: "Package", steps: []step{{groups: []int{packageGroup}, install: true, script: kept}}},
		{name: "Chatty", steps: []step{{groups: []int{4}, script: chatty}}},
		{name: "Secret", steps: []step{{groups: []int{4}, script: secret}, {groups: []int{1}, script: quick}}},
		{name: "Failing", fails: true, steps: []step{{groups: []int{failGroup}, script: failing}, {groups: []int{failGroup}, script: quick}}},
		{name: "Canceled", cancels: true, steps: []step{{groups: []int{cancelGroup, failGroup}, script: long}}},
		{name: "Long", steps: []step{{groups: []int{3}, script: long}}},
	}
}

// prepareServer makes environments, lifecycle, projects, processes and
// variables.
func (r *run) prepareServer(ctx context.Context) error {
	c := r.nodes[0].client
	policies, err := client.List[client.Document](ctx, c, "/api/machinepolicies", nil, 1)
	if err != nil {
		return err
	}
	for field, value := range map[string]any{
		"MachineHealthCheckPolicy":   map[string]any{"HealthCheckType": "OnlyConnectivity", "HealthCheckInterval": "01:00:00"},
		"PollingRequestQueueTimeout": "00:10:00", "ConnectionConnectTimeout": "00:10:00",
	} {
		if err := policies[0].Set(field, value); err != nil {
			return err
		}
	}
	if err := c.Put(ctx, "/api/machinepolicies/"+policies[0].ID(), policies[0], nil); err != nil {
		return err
	}
	var environments []string
	for _, name := range []string{environmentA, environmentB} {
		var doc client.Document
		if err := c.Post(ctx, "/api/environments", map[string]any{"Name": name}, &doc); err != nil {
			return err
		}
		environments = append(environments, doc.ID())
	}
	var lifecycle client.Document
	if err := c.Post(ctx, "/api/lifecycles", map[string]any{
		"Name": "Any", "Phases": []any{map[string]any{"Name": "Only", "OptionalDeploymentTargets": environments}},
	}, &lifecycle); err != nil {
		return err
	}
	groups, err := client.List[client.Document](ctx, c, "/api/projectgroups", nil, 1)
	if err != nil {
		return err
	}
	for _, p := range workload(r.o.agents) {
		if err := r.prepareProject(ctx, c, p, lifecycle.ID(), groups[0].ID()); err != nil {
			return fmt.Errorf("project %s: %w", p.name, err)
		}
		r.projects = append(r.projects, p)
	}
	return nil
}

func (r *run) prepareProject(ctx context.Context, c *client.Client, p *project, lifecycle, group string) error {
	var doc client.Document
	if err := c.Post(ctx, "/api/projects", map[string]any{"Name": p.name, "LifecycleId": lifecycle, "ProjectGroupId": group}, &doc); err != nil {
		return err
	}
	p.id = doc.ID()
	var steps []any
	for i := range p.steps {
		steps = append(steps, r.stepOf(p, i))
	}
	if err := edit(ctx, c, "/api/deploymentprocesses/"+doc.Text("DeploymentProcessId"), "Steps", steps); err != nil {
		return err
	}
	if err := edit(ctx, c, "/api/variables/"+doc.Text("VariableSetId"), "Variables", []any{map[string]any{
		"Name": "Slipway.Deployment.UnknownOutcome", "Value": "Fail", "Type": "String", "Scope": map[string]any{},
	}}); err != nil {
		return err
	}
	return r.release(ctx, c, p)
}

func edit(ctx context.Context, c *client.Client, path, field string, value any) error {
	var doc client.Document
	if err := c.Get(ctx, path, nil, &doc); err != nil {
		return err
	}
	if err := doc.Set(field, value); err != nil {
		return err
	}
	return c.Put(ctx, path, doc, nil)
}

func (r *run) stepOf(p *project, i int) map[string]any {
	s := &p.steps[i]
	properties := map[string]any{"Octopus.Action.TargetRoles": s.roles()}
	if s.window != "" {
		properties["Octopus.Action.MaxParallelism"] = s.window
	}
	name, trigger := fmt.Sprintf("Step %d", i+1), "StartAfterPrevious"
	if s.together {
		trigger = "StartWithPrevious"
	}
	text := s.script.text(r.truth.dir)
	action := map[string]any{
		"Name": name, "ActionType": "Octopus.Script", "Packages": []any{},
		"Properties": map[string]any{
			"Octopus.Action.Script.ScriptSource": "Inline", "Octopus.Action.Script.Syntax": "Bash", "Octopus.Action.Script.ScriptBody": text,
		},
	}
	if s.install {
		action["ActionType"] = "Octopus.TentaclePackage"
		action["Properties"] = map[string]any{
			"Octopus.Action.Package.PackageId": packageName, "Octopus.Action.Package.FeedId": "feeds-builtin",
			"Octopus.Action.Package.DownloadOnTentacle": "False", "Octopus.Action.EnabledFeatures": "Octopus.Features.CustomScripts",
			"Octopus.Action.CustomScripts.PostDeploy.sh": text, "OctopusFreeDiskSpaceOverrideInMegaBytes": "1",
		}
		action["Packages"] = []any{map[string]any{
			"Name": "", "PackageId": packageName, "FeedId": "feeds-builtin", "AcquisitionLocation": "Server", "Properties": map[string]any{},
		}}
	}
	return map[string]any{"Name": name, "Condition": "Success", "StartTrigger": trigger, "Properties": properties, "Actions": []any{action}}
}

const packageName = "Chaos.App"

// release makes the project's next release, with a package of its own where it
// installs one.
func (r *run) release(ctx context.Context, c *client.Client, p *project) error {
	next := p.version + 1
	version := fmt.Sprintf("1.0.%d", next)
	if p.steps[0].install {
		var text bytes.Buffer
		w := zip.NewWriter(&text)
		for name, content := range maps.All(map[string]string{"app.txt": version, "data.bin": strings.Repeat(version+"\n", 4000)}) {
			f, err := w.Create(name)
			if err == nil {
				_, err = f.Write([]byte(content))
			}
			if err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		if _, _, err := c.Upload(ctx, packageName+"."+version+".zip", &text, client.OverwriteExisting); err != nil {
			return err
		}
	}
	_, err := c.CreateRelease(ctx, client.NewRelease{Project: p.name, Version: version, IgnoreIfExists: true})
	if err == nil {
		p.version = next
	}
	return err
}

// order starts deployments of the project, one after the other, until ctx
// ends. A call whose answer got lost may have done its work: what there is, is
// asked at the end.
func (r *run) order(ctx context.Context, p *project) {
	for n := 0; ctx.Err() == nil; n++ {
		environment := []string{environmentA, environmentB}[n%2]
		node := r.nodes[r.rng.n(len(r.nodes))]
		if p.steps[0].install && n > 0 {
			_ = r.release(ctx, node.client, p) // the release before serves as well
		}
		started, err := node.client.Deploy(ctx, client.NewDeployment{
			Project: p.name, Release: fmt.Sprintf("1.0.%d", p.version), Environments: []string{environment},
		})
		if err != nil || len(started) != 1 {
			r.log("order %s: %v", p.name, err)
			pause(ctx, 300*time.Millisecond)
			continue
		}
		r.ordered.Add(1)
		task := started[0].ServerTaskID
		if p.cancels && pause(ctx, r.rng.between(300*time.Millisecond, 4*time.Second)) {
			r.mu.Lock()
			r.asked[task] = true // whether or not the answer comes
			r.mu.Unlock()
			_, err := node.client.CancelTask(ctx, task)
			r.log("cancel %s: %v", task, err)
		}
		r.wait(ctx, task)
	}
}

// wait waits for a task's end.
func (r *run) wait(ctx context.Context, task string) {
	for ctx.Err() == nil {
		t, err := r.nodes[r.rng.n(len(r.nodes))].client.Task(ctx, task)
		if err == nil && t.IsCompleted {
			r.ended.Add(1)
			r.log("task %s ended %s", task, t.State)
			return
		}
		pause(ctx, 250*time.Millisecond)
	}
}

// tasksOf are all tasks of the project, whoever started them.
func (r *run) tasksOf(ctx context.Context, p *project) (list []client.Task, err error) {
	err = r.on(ctx, time.Minute, func(c *client.Client) (err error) {
		list, err = client.List[client.Task](ctx, c, "/api/tasks", url.Values{"project": {p.id}}, 0)
		return err
	})
	return list, err
}
