package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func auditTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"events come back newest first and filtered": events,
		"the chain covers each record once":          chained,
		"differences show changes but no secret":     differences,
	}
}

func events(t *testing.T, db *store.DB) {
	t.Helper()
	Write(t, db, func(tx *store.Tx) error {
		tx.SetActor(resource.Actor{UserID: "Users-1", Username: "admin", UserAgent: strings.Repeat("ü", 400), IPAddress: "10.0.0.1"})
		for i := 1; i <= 4; i++ {
			rec := store.AuditRecord{
				Category: resource.EventCreated, SpaceID: resource.DefaultSpace, Message: fmt.Sprintf("🚀 Project P%d was <created>", i),
				Subjects: []store.Subject{{ID: fmt.Sprint("Projects-", i), Name: fmt.Sprint("P", i)}}, Related: []string{"Environments-1", fmt.Sprint("Projects-", i)},
			}
			if i == 4 {
				rec.Category, rec.SpaceID = resource.EventModified, ""
			}
			if err := store.Audit(tx, rec); err != nil {
				return err
			}
		}
		return nil
	})
	list := func(q store.EventQuery) (ids []string, total int) {
		t.Helper()
		Read(t, db, func(tx *store.Tx) error {
			events, n, err := store.ListEvents(tx, q)
			for _, e := range events {
				ids = append(ids, strings.TrimPrefix(e.ID, "Events-"))
			}
			total = n
			return err
		})
		return ids, total
	}
	for _, c := range []struct {
		what  string
		query store.EventQuery
		want  string
		total int
	}{
		{"all", store.EventQuery{AllSpaces: true}, "4 3 2 1", 4},
		{"no space at all", store.EventQuery{}, "", 0},
		{"a space", store.EventQuery{Spaces: []string{resource.DefaultSpace}}, "3 2 1", 3},
		{"the system", store.EventQuery{System: true}, "4", 1},
		{"a page", store.EventQuery{AllSpaces: true, Skip: 1, Take: 2}, "3 2", 4},
		{"before a number", store.EventQuery{AllSpaces: true, Before: 3, Take: 1}, "2", 2},
		{"about one", store.EventQuery{AllSpaces: true, Regarding: []string{"Projects-2"}}, "2", 1},
		{"about both", store.EventQuery{AllSpaces: true, Regarding: []string{"Projects-2", "Environments-1"}}, "2", 1},
		{"about any", store.EventQuery{AllSpaces: true, RegardingAny: [][]string{{"Projects-2", "Projects-3"}}}, "3 2", 2},
		{"a type", store.EventQuery{AllSpaces: true, DocumentTypes: []string{"Machines"}}, "", 0},
		{"another type", store.EventQuery{AllSpaces: true, DocumentTypes: []string{"Environments"}}, "4 3 2 1", 4},
		{"a category", store.EventQuery{AllSpaces: true, Categories: []string{resource.EventModified}}, "4", 1},
		{"a user", store.EventQuery{AllSpaces: true, Users: []string{"Users-9"}}, "", 0},
		{"ids", store.EventQuery{AllSpaces: true, IDs: []string{"Events-1", "Projects-2"}}, "1", 1},
		{"numbers", store.EventQuery{AllSpaces: true, FromNumber: 2, ToNumber: 3}, "3 2", 2},
		{"later", store.EventQuery{AllSpaces: true, From: 1 << 60}, "", 0},
	} {
		ids, total := list(c.query)
		if got := strings.Join(ids, " "); got != c.want || total != c.total {
			t.Errorf("%s: %q of %d, want %q of %d", c.what, got, total, c.want, c.total)
		}
	}
	Read(t, db, func(tx *store.Tx) error {
		e, err := store.GetEvent(tx, "Events-1")
		if err != nil {
			return err
		}
		// Places count as JavaScript does: the rocket is two.
		want := []resource.MessageReference{{ReferencedDocumentID: "Projects-1", StartIndex: 11, Length: 2}}
		if diff := cmp.Diff(want, e.MessageReferences); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"Environments-1", "Projects-1"}, e.RelatedDocumentIDs); diff != "" {
			t.Error(diff)
		}
		if e.Username != "admin" || e.IPAddress != "10.0.0.1" || len(e.UserAgent) != 300 || strings.Contains(e.MessageHTML, "<created>") {
			t.Errorf("event: %+v", e)
		}
		_, err = store.GetEvent(tx, "Events-99")
		if resource.CodeOf(err) != resource.NotFound {
			t.Errorf("an event nobody wrote: %v", err)
		}
		return nil
	})
}

func chained(t *testing.T, db *store.DB) {
	t.Helper()
	seal := func() (n int) {
		Write(t, db, func(tx *store.Tx) (err error) { n, err = store.SealAudit(tx); return err })
		return n
	}
	for round, count := range []int{0, 3, 1, 0, 1200} {
		Write(t, db, func(tx *store.Tx) error {
			for i := range count {
				if err := store.Audit(tx, store.AuditRecord{Category: resource.EventCreated, Message: fmt.Sprint(i), Related: []string{"Projects-1"}}); err != nil {
					return err
				}
			}
			return nil
		})
		sealed := 0
		for n := seal(); n > 0; n = seal() {
			sealed += n
		}
		if sealed != count {
			t.Errorf("round %d: %d sealed of %d", round, sealed, count)
		}
		Read(t, db, store.VerifyAudit)
	}
}

// abuse 73: neither the old nor the new secret gets into a difference.
func differences(t *testing.T, _ *store.DB) {
	t.Helper()
	before := &resource.Feed{Name: "A", FeedType: resource.FeedNuGet, Password: resource.Plain("old-secret")}
	after := &resource.Feed{Name: "B/C", FeedType: resource.FeedNuGet, Username: "u"}
	after.LastModifiedBy = "me"
	got, err := store.Diff(before, after)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(got)
	if strings.Contains(text, "old-secret") || strings.Contains(text, "LastModified") {
		t.Errorf("differences: %s", text)
	}
	var places []string
	for _, d := range got {
		places = append(places, d.Op+" "+d.Path)
	}
	if want := "replace /Name, remove /Password, add /Username"; strings.Join(places, ", ") != want {
		t.Errorf("differences: %v", places)
	}
	a, b := &resource.User{Username: "u", PasswordHash: resource.Plain("h1")}, &resource.User{Username: "u"}
	if got, err := store.Diff(a, b); err != nil || len(got) != 0 {
		t.Errorf("a hidden field shows: %v, %v", got, err)
	}
}
