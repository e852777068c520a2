package api_test

import "testing"

// What the official Go SDK does that no document says; test/contract drives it
// for real.

// TestEmptySecretIsKept: the SDK reads the null of a secret into a string, and
// writes the whole set back to change another variable.
func TestEmptySecretIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/api/Spaces-1/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	set := r.get(p.text("Links", "Variables"))
	set["Variables"] = []any{object{"Name": "Password", "Value": "hush", "IsSensitive": true, "Type": "Sensitive"}}
	saved := r.put(set.text("Links", "Self"), set)
	secret := sub(list(saved["Variables"])[0])
	for name, c := range map[string]struct {
		value any
		want  string
	}{"1 empty": {"", "hush"}, "2 null": {nil, "hush"}, "3 another": {"new", "new"}, "4 kept as other secrets": {object{"HasValue": true}, "hush"}} {
		before := r.get(set.text("Links", "Self"))
		sub(list(before["Variables"])[0])["Value"] = "hush"
		before = r.put(set.text("Links", "Self"), before)
		sub(list(before["Variables"])[0])["Value"] = c.value
		r.put(set.text("Links", "Self"), before)
		if got := r.secretIn(set.text("Id"), secret.text("Id")); got != c.want {
			t.Errorf("%s: the secret is %q, want %q", name, got, c.want)
		}
	}
	last := r.get(set.text("Links", "Self"))
	sub(list(last["Variables"])[0])["Value"] = object{"HasValue": false}
	r.put(set.text("Links", "Self"), last)
	if got := r.secretIn(set.text("Id"), secret.text("Id")); got != "" {
		t.Errorf("a cleared secret is %q", got)
	}
}

// TestProjectsOfOwners: the SDK reads an array below a lifecycle and pages
// below a project group, and follows both links without expanding them.
func TestProjectsOfOwners(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.post("/api/Spaces-1/projects", object{"Name": "Shop", "LifecycleId": "Lifecycles-1", "ProjectGroupId": "ProjectGroups-1"})
	lifecycle := r.get("/api/Spaces-1/lifecycles/Lifecycles-1")
	if of := r.array(lifecycle.text("Links", "Projects")); len(of) != 1 || sub(of[0]).text("Id") != p.text("Id") {
		t.Errorf("projects of the lifecycle: %v", of)
	}
	group := r.get("/api/Spaces-1/projectgroups/ProjectGroups-1")
	if of := r.get(group.text("Links", "Projects")).items(); len(of) != 1 || of[0].text("Id") != p.text("Id") {
		t.Errorf("projects of the group: %v", of)
	}
	r.want(404, "GET", "/api/Spaces-1/lifecycles/Lifecycles-404/projects", nil)
}
