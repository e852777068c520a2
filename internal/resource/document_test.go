package resource_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/resource"
)

func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("id-%d", n) }
}

func TestFold(t *testing.T) {
	t.Parallel()
	// abuse 17: variants with case, space and Unicode forms are one name.
	for _, pair := range [][2]string{{"Web", " wEB "}, {"É", "é"}, {"E\u0301", "é"}, {"ﬁle", "file"}, {"STRASSE", "straße"}} {
		if a, b := resource.Fold(pair[0]), resource.Fold(pair[1]); a != b {
			t.Errorf("%q and %q: %q and %q", pair[0], pair[1], a, b)
		}
	}
	if resource.Fold("a b") == resource.Fold("ab") {
		t.Error("a space inside counts")
	}
}

func TestSlugify(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"My Project": "my-project", "  A--B  ": "a-b", "Crème Brûlée": "creme-brulee", "Acme.Web 2": "acme-web-2", "日本": "", "--": "",
	} {
		if got := resource.Slugify(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// abuse 59: bad UTF-8, NUL, right-to-left override, huge names.
func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "  ", "a\x00b", "a\u202eb", "a\xffb", "a\nb", "a\u200bb", strings.Repeat("x", 201)} {
		if err := resource.CheckName("project", bad, resource.MaxName); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := resource.CheckName("project", "Ünïcödé & more ✓", resource.MaxName); err != nil {
		t.Error(err)
	}
}

func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	snapshot := resource.SnapshotID(resource.DeploymentProcessID("Projects-1"), 0, "AB12C")
	if snapshot != "deploymentprocess-Projects-1-s-0-AB12C" {
		t.Errorf("snapshot: %s", snapshot)
	}
	for id, want := range map[string][2]string{
		snapshot:                            {"deploymentprocess-Projects-1", "Projects-1"},
		"deploymentprocess-Projects-1":      {"", "Projects-1"},
		"variableset-LibraryVariableSets-2": {"", "LibraryVariableSets-2"},
		"variableset-Projects-3-s-12-ZZZZZ": {"variableset-Projects-3", "Projects-3"},
		"deploymentsettings-Projects-1":     {"", "Projects-1"},
		"Projects-1":                        {"", ""},
		"Projects-1-s-0-AB12C":              {"", ""},
	} {
		if of, owner := resource.SnapshotOf(id), resource.OwnerOf(id); of != want[0] || owner != want[1] {
			t.Errorf("%s: snapshot of %q, owned by %q", id, of, owner)
		}
	}
	if id := resource.PackageID("Spaces-1", "Acme.Web", "1.2.3"); id != "packages-Acme.Web.1.2.3" {
		t.Errorf("package: %s", id)
	}
}

// Lists go out as [], never null, and property dictionaries hold no null
// (octopus-api.md 1.5).
func TestDefaultsLeaveNoNullList(t *testing.T) {
	t.Parallel()
	for _, kind := range resource.Kinds() {
		doc := kind.New()
		if p, ok := doc.(*resource.DeploymentProcess); ok {
			p.Steps = []resource.Step{{Name: "S", Actions: []resource.Action{{Name: "A", Packages: []resource.PackageReference{{}}}}}}
		}
		if d, ok := doc.(resource.Defaulter); ok {
			d.SetDefaults(ids())
		}
		noNullLists(t, kind.Name, reflect.ValueOf(doc).Elem())
	}
}

func noNullLists(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[resource.Sensitive]() || v.Type() == reflect.TypeFor[resource.PropertyValue]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && !strings.Contains(f.Tag.Get("json"), "omitempty") && f.Tag.Get("json") != "-" {
				noNullLists(t, path+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice:
		if v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
			t.Errorf("%s is null", path)
		}
		for i := range v.Len() {
			noNullLists(t, path, v.Index(i))
		}
	default:
	}
}

// Each declaration fits its struct: paths exist, columns are unique, links and
// filters name fields, the name is a field.
func TestKindsFitTheirStructs(t *testing.T) {
	t.Parallel()
	tables, placeholder := map[string]bool{}, regexp.MustCompile(`\{[A-Z][A-Za-z]*\}`)
	for _, k := range resource.Kinds() {
		typ := reflect.TypeOf(k.New()).Elem()
		if tables[k.Table] || k.New().Kind() != k || resource.KindNamed(k.Name) != k {
			t.Errorf("%s: declared twice or not found", k.Name)
		}
		tables[k.Table] = true
		columns := map[string]bool{}
		for _, f := range k.Fields {
			if !hasPath(typ, strings.Split(f.Path, ".")) {
				t.Errorf("%s has no field %s", k.Name, f.Path)
			}
			if f.Column != "" && columns[f.Column] || f.List == (f.Column != "") {
				t.Errorf("%s: column of %s", k.Name, f.Path)
			}
			columns[f.Column] = true
			for name := range strings.SplitSeq(f.Ref, "|") {
				if f.Ref != "" && resource.KindNamed(name) == nil {
					t.Errorf("%s.%s points at %s, which is no kind", k.Name, f.Path, name)
				}
			}
		}
		for parameter, path := range k.Filters {
			if _, ok := k.Field(path); !ok && path != k.NameField {
				t.Errorf("%s: filter %s names %s", k.Name, parameter, path)
			}
		}
		for name, link := range k.Links {
			for _, hole := range placeholder.FindAllString(link, -1) {
				field := strings.Trim(hole, "{}")
				if !slices.Contains([]string{"Self", "Space"}, field) && !hasPath(typ, []string{field}) {
					t.Errorf("%s: link %s wants %s", k.Name, name, field)
				}
			}
		}
		for _, hidden := range append(slices.Clone(k.Hidden), k.NameField, k.UniqueWithin) {
			if hidden != "" && !hasPath(typ, []string{hidden}) {
				t.Errorf("%s has no field %s", k.Name, hidden)
			}
		}
	}
}

func hasPath(typ reflect.Type, path []string) bool {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if len(path) == 0 {
		return true
	}
	if typ == reflect.TypeFor[resource.Endpoint]() {
		return true // has members of its own
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if name == path[0] && !f.Anonymous {
			return hasPath(f.Type, path[1:])
		}
	}
	return false
}

func TestProcessDefaults(t *testing.T) {
	t.Parallel()
	p := &resource.DeploymentProcess{Steps: []resource.Step{
		{
			Name: "Deploy Web", StartTrigger: resource.StartWithPrevious,
			Properties: resource.Properties{resource.PropertyTargetRoles: resource.Text("web, ,db")},
			Actions: []resource.Action{
				{Name: "Deploy Web", ActionType: "Octopus.TentaclePackage", Packages: []resource.PackageReference{{PackageID: "Acme.Web", FeedID: "feeds-builtin"}}},
				{Name: "Deploy Web", ActionType: "Octopus.Script", Properties: resource.Properties{"Secret": resource.Secret(resource.Plain("x"))}},
			},
		},
		{Name: "deploy-web", StartTrigger: resource.StartWithPrevious, Actions: []resource.Action{{
			Name: "Old", ActionType: "Octopus.TentaclePackage",
			Properties: resource.Properties{resource.PropertyPackageID: resource.Text("Old.Pack"), resource.PropertyPackageFeedID: resource.Text("feeds-1")},
		}}},
	}}
	p.SetDefaults(ids())
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	first, second := &p.Steps[0], &p.Steps[1]
	if first.StartTrigger != resource.StartAfterPrevious || second.StartTrigger != resource.StartWithPrevious {
		t.Error("only the first step starts after the previous one in any case")
	}
	if first.Slug != "deploy-web" || second.Slug != "deploy-web-2" || first.Actions[1].Slug != "deploy-web-2" {
		t.Errorf("slugs: %s, %s, %s", first.Slug, second.Slug, first.Actions[1].Slug)
	}
	if got := first.Roles(); !slices.Equal(got, []string{"web", "db"}) {
		t.Errorf("roles: %v", got)
	}
	if got := first.Actions[0].Properties.Get(resource.PropertyPackageID); got != "Acme.Web" {
		t.Errorf("old package property: %q", got)
	}
	if got := second.Actions[0].PrimaryPackage(); got == nil || got.PackageID != "Old.Pack" || got.FeedID != "feeds-1" {
		t.Errorf("package from old properties: %+v", got)
	}
	before, _ := json.Marshal(p)
	p.SetDefaults(ids())
	if after, _ := json.Marshal(p); string(after) != string(before) {
		t.Errorf("defaults twice differ:\n%s\n%s", before, after)
	}
	second.Actions[0].ID = first.Actions[0].ID
	if err := p.Validate(); resource.CodeOf(err) != resource.Invalid {
		t.Errorf("two actions with one id, whose secrets would share a path: %v", err)
	}
}

func TestEndpointKeepsForeignMembers(t *testing.T) {
	t.Parallel()
	in := `{"AuthenticationType":null,"CommunicationStyle":"Kubernetes","ClusterUrl":"https://k","Authentication":{"AuthenticationType":"KubernetesStandard","AccountId":"Accounts-1"},"SkipTlsVerification":"False","Links":{}}`
	var e resource.Endpoint
	if err := json.Unmarshal([]byte(in), &e); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]any
	if err := json.Unmarshal([]byte(in), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &b); err != nil {
		t.Fatal(err)
	}
	delete(a, "Links")
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	if e.Member("ClusterUrl") != "https://k" || e.Reachable() {
		t.Errorf("endpoint: %+v", e)
	}
}

func TestMachineRules(t *testing.T) {
	t.Parallel()
	good := func() *resource.Machine {
		m := &resource.Machine{EnvironmentIDs: []string{"Environments-1"}, Roles: []string{"web", "WEB ", ""}}
		m.Name, m.MachinePolicyID = "web-1", "MachinePolicies-1"
		m.Endpoint = resource.Endpoint{CommunicationStyle: resource.StylePassive, URI: "https://web-1:10933/", Thumbprint: "AB"}
		return m
	}
	m := good()
	m.SetDefaults(ids())
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(m.Roles) != 1 || m.URI != "https://web-1:10933/" || m.Thumbprint != "AB" || m.Status != resource.StatusUnknown {
		t.Errorf("machine: %+v", m)
	}
	m.IsDisabled = true
	m.SetDefaults(ids())
	if m.Status != resource.StatusDisabled || !m.HasRole("Web") || m.HasRole("db") {
		t.Errorf("disabled machine: %+v", m)
	}
	for name, spoil := range map[string]func(*resource.Machine){
		"no name":        func(m *resource.Machine) { m.Name = "" },
		"no environment": func(m *resource.Machine) { m.EnvironmentIDs = nil },
		"no role":        func(m *resource.Machine) { m.Roles = []string{" "} },
		"comma in role":  func(m *resource.Machine) { m.Roles = []string{"a,b"} },
		"no thumbprint":  func(m *resource.Machine) { m.Endpoint.Thumbprint = "" },
		"wrong scheme":   func(m *resource.Machine) { m.Endpoint.URI = "http://web-1:10933/" },
		"no style":       func(m *resource.Machine) { m.Endpoint.CommunicationStyle = "" },
		"user in uri":    func(m *resource.Machine) { m.Endpoint.URI = "https://a:b@web-1:10933/" },
		"no policy":      func(m *resource.Machine) { m.MachinePolicyID = "" },
	} {
		m := good()
		spoil(m)
		m.SetDefaults(ids())
		if err := m.Validate(); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Strategy left out by a client means Forever or Count; what was sent comes
// back (octopus-api.md 1.8).
func TestRetention(t *testing.T) {
	t.Parallel()
	l := &resource.Lifecycle{Name: "L", ReleaseRetentionPolicy: &resource.RetentionPeriod{ShouldKeepForever: true, Unit: "days"}, Phases: []resource.Phase{
		{Name: "P", TentacleRetentionPolicy: &resource.RetentionPeriod{QuantityToKeep: 3}},
	}}
	l.SetDefaults(ids())
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	if l.ReleaseRetentionPolicy.Strategy != resource.RetainForever || l.ReleaseRetentionPolicy.Unit != "days" || !l.ReleaseRetentionPolicy.Forever() {
		t.Errorf("release policy: %+v", l.ReleaseRetentionPolicy)
	}
	p := l.Phases[0]
	if p.ID == "" || p.TentacleRetentionPolicy.Strategy != resource.RetainCount || p.ReleaseRetentionPolicy != nil {
		t.Errorf("phase: %+v", p)
	}
	l.Phases = append(l.Phases, resource.Phase{Name: "p "})
	if err := l.Validate(); resource.CodeOf(err) != resource.Invalid {
		t.Errorf("two phases with one name: %v", err)
	}
}

func TestPolicyHasEverythingClientsRead(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(resource.DefaultMachinePolicy())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"PollingRequestQueueTimeout":"00:02:00"`, `"PollingRequestMaximumMessageProcessingTimeout":"00:10:00"`,
		`"ConnectionRetrySleepInterval":"00:00:01"`, `"ConnectionRetryCountLimit":5`, `"ConnectionRetryTimeLimit":"00:05:00"`,
		`"ConnectionConnectTimeout":"00:01:00"`, `"HealthCheckInterval":"01:00:00"`, `"MachineConnectivityPolicy":{`, `"MachineCleanupPolicy":{`,
		`"MachineUpdatePolicy":{`, `"MachineHealthCheckPolicy":{`, `"DeleteMachinesElapsedTimeSpan":"00:00:00"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestBuiltInRolesGrantKnownPermissions(t *testing.T) {
	t.Parallel()
	space, system := resource.SpacePermissions(), resource.SystemPermissions()
	seen := map[string]bool{}
	for _, r := range resource.BuiltInRoles() {
		if seen[r.ID] || !strings.HasPrefix(r.ID, "userroles-") {
			t.Errorf("role id %s", r.ID)
		}
		seen[r.ID] = true
		for _, p := range r.GrantedSpacePermissions {
			if !slices.Contains(space, p) {
				t.Errorf("%s grants %s", r.ID, p)
			}
		}
		for _, p := range r.GrantedSystemPermissions {
			if !slices.Contains(system, p) {
				t.Errorf("%s grants %s", r.ID, p)
			}
		}
	}
}
