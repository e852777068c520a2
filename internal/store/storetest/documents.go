package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func documentTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"what was inserted comes back":          insertComesBack,
		"names are unique in their folded form": uniqueNames,
		"slugs are made, kept and unique":       slugs,
		"lists filter, order and page":          lists,
		"a list never widens":                   listsNeverWiden,
		"spaces do not see each other":          spaces,
		"look-ups go by id, slug and name":      lookups,
		"the version is an optimistic lock":     locks,
		"every kind can be listed":              everyKind,
		"an oversized document is refused":      oversized,
	}
}

func insertComesBack(t *testing.T, db *store.DB) {
	t.Helper()
	e := &resource.Environment{Name: "Dev", Description: "ünï", EnvironmentTags: []string{"a/b"}, ExtensionSettings: []json.RawMessage{[]byte(`{"ExtensionId":"x","Values":{"A":1}}`)}}
	e.ID = "Environments-99" // a client's idea of the id does not count
	Insert(t, db, e)
	if e.ID != "Environments-1" || e.Slug != "dev" || e.LastModifiedBy != "system" || e.LastModifiedOn.IsZero() {
		t.Errorf("inserted: %+v", e)
	}
	Read(t, db, func(tx *store.Tx) error {
		got, err := store.Get[resource.Environment](tx, e.ID)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Error(diff)
		}
		_, err = store.Get[resource.Environment](tx, "Environments-99")
		if resource.CodeOf(err) != resource.NotFound {
			t.Errorf("an id nobody has: %v", err)
		}
		return nil
	})
}

func uniqueNames(t *testing.T, db *store.DB) {
	t.Helper()
	Insert(t, db, &resource.Environment{Name: "Dév"})
	err := Refusal(t, db, resource.Invalid, func(tx *store.Tx) error {
		e := &resource.Environment{Name: " de\u0301V "}
		e.SpaceID = resource.DefaultSpace
		return store.Insert(tx, e)
	})
	if err.Field != "Name" || !strings.Contains(err.Message, "already exists") {
		t.Errorf("refusal: %+v", err)
	}
	a, b := Project(t, db, "A"), Project(t, db, "B")
	one := &resource.Channel{Name: "Stable", ProjectID: a.ID}
	Insert(t, db, one, &resource.Channel{Name: "Stable", ProjectID: b.ID})
	Refused(t, db, resource.Invalid, func(tx *store.Tx) error {
		c := &resource.Channel{Name: "stable", ProjectID: a.ID}
		c.SpaceID = resource.DefaultSpace
		return store.Insert(tx, c)
	})
	Write(t, db, func(tx *store.Tx) error { return store.Update(tx, one) }) // its own name is no clash
	p := func(version, key string) *resource.Package {
		return &resource.Package{PackageID: "Acme.Web", Version: version, VersionKey: key, FeedID: resource.BuiltInFeed, Sha256: strings.Repeat("a", 64)}
	}
	insert := func(version, key string) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			doc := p(version, key)
			doc.SpaceID = resource.DefaultSpace
			return store.InsertAs(tx, doc, resource.PackageID(resource.DefaultSpace, "Acme.Web", version))
		}
	}
	Write(t, db, insert("1.0", "1.0.0.0"))
	Refused(t, db, resource.Invalid, insert("1.0.0", "1.0.0.0"))
	Write(t, db, insert("1.0.1", "1.0.1.0"))
}

func slugs(t *testing.T, db *store.DB) {
	t.Helper()
	a, b := &resource.Environment{Name: "My Env!"}, &resource.Environment{Name: "My Env?"}
	chosen, symbols := &resource.Environment{Name: "Other", Slug: "My ENV"}, &resource.Environment{Name: "日本"}
	Insert(t, db, a, b, chosen, symbols)
	if a.Slug != "my-env" || b.Slug != "my-env-2" || chosen.Slug != "my-env-3" || symbols.Slug != "environments-4" {
		t.Errorf("slugs: %s, %s, %s, %s", a.Slug, b.Slug, chosen.Slug, symbols.Slug)
	}
	a.Name, a.Slug = "Renamed", ""
	Write(t, db, func(tx *store.Tx) error { return store.Update(tx, a) })
	if a.Slug != "my-env" {
		t.Errorf("a rename made the slug %s", a.Slug)
	}
	a.Slug = "mine"
	Write(t, db, func(tx *store.Tx) error { return store.Update(tx, a) })
	if a.Slug != "mine" {
		t.Errorf("the slug that was set is %s", a.Slug)
	}
}

func lists(t *testing.T, db *store.DB) {
	t.Helper()
	for i, name := range []string{"Charlie", "alpha", "Bravo 100%", "delta_x"} {
		Insert(t, db, &resource.Environment{Name: name, SortOrder: []int{2, 1, 1, 3}[i]})
	}
	list := func(q store.Query) (names []string, total int) {
		t.Helper()
		q.Space = resource.DefaultSpace
		Read(t, db, func(tx *store.Tx) error {
			items, n, err := store.List[resource.Environment](tx, q)
			for _, e := range items {
				names = append(names, e.Name)
			}
			total = n
			return err
		})
		return names, total
	}
	for _, c := range []struct {
		what  string
		query store.Query
		want  string
		total int
	}{
		{"the kind's order", store.Query{}, "alpha,Bravo 100%,Charlie,delta_x", 4},
		{"another order", store.Query{Order: []string{"-name_key"}}, "delta_x,Charlie,Bravo 100%,alpha", 4},
		{"a page", store.Query{Skip: 1, Take: 2}, "Bravo 100%,Charlie", 4},
		{"skip alone", store.Query{Skip: 3}, "delta_x", 4},
		{"beyond the end", store.Query{Skip: 9, Take: 2}, "", 4},
		{"part of a name", store.Query{PartialName: "LPH"}, "alpha", 1},
		{"no wildcards", store.Query{PartialName: "%"}, "Bravo 100%", 1},
		{"no wildcards either", store.Query{PartialName: "_"}, "delta_x", 1},
		{"quotes", store.Query{PartialName: `' OR 1=1 --`}, "", 0},
		{"a name", store.Query{Name: "ALPHA"}, "alpha", 1},
		{"ids, unknown ones dropped", store.Query{IDs: []string{"Environments-1", "Environments-77"}}, "Charlie", 1},
		{"a column", store.Query{Where: map[string][]string{"SortOrder": {"1", "3"}}}, "alpha,Bravo 100%,delta_x", 3},
	} {
		names, total := list(c.query)
		if got := strings.Join(names, ","); got != c.want || total != c.total {
			t.Errorf("%s: %q of %d, want %q of %d", c.what, got, total, c.want, c.total)
		}
	}
	Insert(t, db, Machine("m1", "Environments-1", "web", "Db"), Machine("m2", "Environments-2", "WEB"), Machine("m3", "Environments-2", "cache"))
	Read(t, db, func(tx *store.Tx) error {
		where := map[string][]string{"Roles": {"web", "db"}, "EnvironmentIds": {"Environments-2"}}
		items, n, err := store.List[resource.Machine](tx, store.Query{Space: resource.DefaultSpace, Where: where})
		if err == nil && (n != 1 || items[0].Name != "m2") {
			t.Errorf("by role and environment: %d", n)
		}
		return err
	})
}

// abuse 30, 66: what filters never widens, and nothing undeclared gets into SQL.
func listsNeverWiden(t *testing.T, db *store.DB) {
	t.Helper()
	Insert(t, db, &resource.Environment{Name: "Dev"})
	for what, q := range map[string]store.Query{
		"no ids":                {Space: resource.DefaultSpace, IDs: []string{}},
		"a field of no values":  {Space: resource.DefaultSpace, Where: map[string][]string{"SortOrder": {}}},
		"a space that is not":   {Space: "Spaces-9"},
		"another's name inside": {Space: "' OR '1'='1"},
	} {
		Read(t, db, func(tx *store.Tx) error {
			_, n, err := store.List[resource.Environment](tx, q)
			if err != nil || n != 0 {
				t.Errorf("%s: %d, %v", what, n, err)
			}
			return nil
		})
	}
	for what, q := range map[string]store.Query{
		"no space":            {},
		"an undeclared field": {Space: resource.DefaultSpace, Where: map[string][]string{"Description": {"x"}}},
		"an injected order":   {Space: resource.DefaultSpace, Order: []string{"name_key; DROP TABLE environment"}},
	} {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			_, _, err := store.List[resource.Environment](tx, q)
			return err
		})
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		_, _, err := store.List[resource.Environment](tx, store.Query{Space: resource.DefaultSpace, Where: map[string][]string{"SortOrder": {"1 OR 1=1"}}})
		return err
	})
	if resource.CodeOf(err) != resource.Invalid {
		t.Errorf("a filter of the wrong type: %v", err)
	}
}

// abuse 30: a document of another space is as missing as one that never was.
func spaces(t *testing.T, db *store.DB) {
	t.Helper()
	space := &resource.Space{Name: "Other", SpaceManagersTeamMembers: []string{"Users-1"}}
	Write(t, db, func(tx *store.Tx) error { return store.SeedSpace(tx, space) })
	mine, theirs := &resource.Environment{Name: "Dev"}, &resource.Environment{Name: "Dev"}
	theirs.SpaceID = space.ID
	Insert(t, db, mine, theirs)
	Read(t, db, func(tx *store.Tx) error {
		_, foreign := store.GetIn[resource.Environment](tx, resource.DefaultSpace, theirs.ID)
		_, unknown := store.GetIn[resource.Environment](tx, resource.DefaultSpace, "Environments-99")
		if foreign == nil || unknown == nil || strings.ReplaceAll(foreign.Error(), theirs.ID, "X") != strings.ReplaceAll(unknown.Error(), "Environments-99", "X") {
			t.Errorf("answers differ: %v, %v", foreign, unknown)
		}
		found, err := store.Find[resource.Environment](tx, space.ID, "dev")
		if err != nil || found.ID != theirs.ID {
			t.Errorf("found %v, %v", found, err)
		}
		return nil
	})
	refer := func(environment string) *resource.Error {
		return Refusal(t, db, resource.Invalid, func(tx *store.Tx) error {
			m := Machine("m", environment, "web")
			m.SpaceID = resource.DefaultSpace
			return store.Insert(tx, m)
		})
	}
	foreign, unknown := refer(theirs.ID), refer("Environments-99")
	if strings.ReplaceAll(foreign.Message, theirs.ID, "X") != strings.ReplaceAll(unknown.Message, "Environments-99", "X") {
		t.Errorf("answers differ: %v, %v", foreign, unknown)
	}
	moved := *mine
	moved.SpaceID = space.ID
	Refused(t, db, resource.NotFound, func(tx *store.Tx) error { return store.Update(tx, &moved) })
}

func lookups(t *testing.T, db *store.DB) {
	t.Helper()
	a, b := Project(t, db, "Web Shop"), Project(t, db, "API")
	Insert(t, db, &resource.Channel{Name: "Stable", ProjectID: a.ID}, &resource.Channel{Name: "Stable", ProjectID: b.ID})
	Read(t, db, func(tx *store.Tx) error {
		for key, want := range map[string]string{"Projects-1": "Projects-1", "web-shop": "Projects-1", "WEB shop": "Projects-1", "api": "Projects-2"} {
			p, err := store.Find[resource.Project](tx, resource.DefaultSpace, key)
			if err != nil || p.ID != want {
				t.Errorf("%q: %v, %v", key, p, err)
			}
		}
		// Clients rely on a name in an address being 404 (octopus-api.md 1.5).
		if _, err := store.Lookup[resource.Project](tx, resource.DefaultSpace, "Web Shop"); resource.CodeOf(err) != resource.NotFound {
			t.Errorf("a name in an address: %v", err)
		}
		if p, err := store.Lookup[resource.Project](tx, resource.DefaultSpace, "web-shop"); err != nil || p.ID != a.ID {
			t.Errorf("a slug in an address: %v", err)
		}
		if _, err := store.Find[resource.Channel](tx, resource.DefaultSpace, "Stable"); resource.CodeOf(err) != resource.NotFound {
			t.Errorf("a name that two have: %v", err)
		}
		if _, err := store.Find[resource.Project](tx, resource.DefaultSpace, ""); resource.CodeOf(err) != resource.NotFound {
			t.Errorf("nothing: %v", err)
		}
		c, err := store.First[resource.Channel](tx, store.Query{Space: resource.DefaultSpace, Name: "stable", Where: map[string][]string{"ProjectId": {b.ID}}})
		if err != nil || c.ProjectID != b.ID {
			t.Errorf("a channel of a project: %v, %v", c, err)
		}
		return nil
	})
}

func locks(t *testing.T, db *store.DB) {
	t.Helper()
	p := Project(t, db, "P")
	var mine, theirs *resource.VariableSet
	Read(t, db, func(tx *store.Tx) (err error) {
		if mine, err = store.Get[resource.VariableSet](tx, p.VariableSetID); err == nil {
			theirs, err = store.Get[resource.VariableSet](tx, p.VariableSetID)
		}
		return err
	})
	theirs.Variables = []resource.Variable{{Name: "Theirs"}}
	Write(t, db, func(tx *store.Tx) error { return store.Update(tx, theirs) })
	if theirs.Version != 1 || theirs.Variables[0].ID == "" {
		t.Errorf("saved: %+v", theirs)
	}
	mine.Variables = []resource.Variable{{Name: "Mine"}}
	Refused(t, db, resource.Conflict, func(tx *store.Tx) error { return store.Update(tx, mine) })
	if mine.Version != 0 {
		t.Errorf("the loser is at version %d", mine.Version)
	}
	// A transaction that fails after the update leaves the document's version.
	Refused(t, db, resource.Invalid, func(tx *store.Tx) error {
		if err := store.Update(tx, theirs); err != nil {
			return err
		}
		return resource.Errorf(resource.Invalid, "No.")
	})
	if theirs.Version != 1 {
		t.Errorf("after a rollback it is at version %d", theirs.Version)
	}
}

func everyKind(t *testing.T, db *store.DB) {
	t.Helper()
	Read(t, db, func(tx *store.Tx) error {
		for _, k := range resource.Kinds() {
			where := map[string][]string{}
			for _, f := range k.Fields {
				where[f.Path] = []string{"1"}
				if f.Type == resource.TimeColumn {
					where[f.Path] = []string{"2026-01-01T00:00:00Z"}
				}
			}
			for _, q := range []store.Query{{AllSpaces: true}, {AllSpaces: true, Where: where, PartialName: "x", Name: "y", IDs: []string{"z"}, Take: 1}} {
				if _, _, err := store.ListDocs(tx, k, q); err != nil {
					t.Errorf("%s: %v", k.Name, err)
				}
			}
		}
		return nil
	})
}

func oversized(t *testing.T, db *store.DB) {
	t.Helper()
	steps := make([]resource.Step, 20)
	for i := range steps {
		steps[i] = resource.Step{Name: fmt.Sprint("S", i), Actions: []resource.Action{{
			Name: "A", ActionType: "Octopus.Script", Properties: resource.Properties{"x": resource.Text(strings.Repeat("x", 1<<20))},
		}}}
	}
	p := Project(t, db, "P")
	Refused(t, db, resource.TooLarge, func(tx *store.Tx) error {
		process, err := store.Get[resource.DeploymentProcess](tx, p.DeploymentProcessID)
		if err != nil {
			return err
		}
		process.Steps = slices.Clone(steps)
		return store.Update(tx, process)
	})
}
