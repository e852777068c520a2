package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func referenceTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"what is in use stays, and its users are named": inUse,
		"what is owned goes along":                      cascade,
		"what is gone leaves lists":                     pruned,
		"what is missing cannot be deleted":             deleteMissing,
	}
}

func inUse(t *testing.T, db *store.DB) {
	t.Helper()
	Insert(t, db, &resource.Environment{Name: "Dev"}, &resource.Lifecycle{Name: "L", Phases: []resource.Phase{{Name: "P", OptionalDeploymentTargets: []string{"Environments-1"}}}})
	for i := range 5 {
		Insert(t, db, Machine(fmt.Sprint("m", i), "Environments-1", "web"))
	}
	err := Refusal(t, db, resource.Invalid, func(tx *store.Tx) error { return store.Delete[resource.Environment](tx, "Environments-1") })
	if !strings.Contains(err.Message, "environment 'Dev'") || !strings.Contains(err.Message, "lifecycle 'L', machine 'm0', machine 'm1' and 3 more") {
		t.Errorf("message: %s", err.Message)
	}
	Write(t, db, func(tx *store.Tx) error {
		for i := range 5 {
			if err := store.Delete[resource.Machine](tx, fmt.Sprint("Machines-", i+1)); err != nil {
				return err
			}
		}
		return store.Delete[resource.Lifecycle](tx, "Lifecycles-2")
	})
	Write(t, db, func(tx *store.Tx) error { return store.Delete[resource.Environment](tx, "Environments-1") })
}

func cascade(t *testing.T, db *store.DB) {
	t.Helper()
	p, other := Project(t, db, "P"), Project(t, db, "Other")
	Insert(t, db, &resource.Environment{Name: "Dev"}, &resource.Channel{Name: "Default", ProjectID: p.ID, IsDefault: true}, &resource.Channel{Name: "Default", ProjectID: other.ID, IsDefault: true})
	release := &resource.Release{Version: "1.0.0", ProjectID: p.ID, ChannelID: "Channels-1"}
	release.SpaceID = resource.DefaultSpace
	Write(t, db, func(tx *store.Tx) error {
		process, err := store.Get[resource.DeploymentProcess](tx, p.DeploymentProcessID)
		if err != nil {
			return err
		}
		release.ProjectDeploymentProcessSnapshotID = resource.SnapshotID(process.ID, process.Version, "ABCDE")
		if err := store.Reseal(tx, process, release.ProjectDeploymentProcessSnapshotID); err != nil {
			return err
		}
		return store.Insert(tx, release)
	})
	deployment := &resource.Deployment{Name: "Deploy to Dev", ReleaseID: release.ID, EnvironmentID: "Environments-1", ProjectID: p.ID, ChannelID: "Channels-1"}
	Insert(t, db, deployment)

	Refused(t, db, resource.Invalid, func(tx *store.Tx) error { return store.Delete[resource.Channel](tx, "Channels-1") })
	Refused(t, db, resource.Invalid, func(tx *store.Tx) error {
		return store.Delete[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
	})
	Write(t, db, func(tx *store.Tx) error { return store.Delete[resource.Project](tx, p.ID) })
	Read(t, db, func(tx *store.Tx) error {
		for _, k := range []*resource.Kind{resource.ProjectKind, resource.ChannelKind, resource.DeploymentProcessKind, resource.VariableSetKind, resource.ReleaseKind, resource.DeploymentKind} {
			n, err := store.CountDocs(tx, k, store.Query{AllSpaces: true})
			want := 1 // of the other project
			if k == resource.ReleaseKind || k == resource.DeploymentKind {
				want = 0
			}
			if err != nil || n != want {
				t.Errorf("%s: %d left, want %d, %v", k.Name, n, want, err)
			}
		}
		return nil
	})
	Write(t, db, func(tx *store.Tx) error { return store.Delete[resource.Environment](tx, "Environments-1") })
}

func pruned(t *testing.T, db *store.DB) {
	t.Helper()
	user := &resource.User{Username: "bob", IsActive: true}
	Insert(t, db, user)
	team := &resource.Team{Name: "Devs", MemberUserIDs: []string{"Users-1", user.ID}}
	Write(t, db, func(tx *store.Tx) error { return store.Insert(tx, team) })
	key := &resource.APIKey{UserID: user.ID, KeyHash: strings.Repeat("0", 64)}
	Insert(t, db, key)
	Write(t, db, func(tx *store.Tx) error { return store.Delete[resource.User](tx, user.ID) })
	Read(t, db, func(tx *store.Tx) error {
		got, err := store.Get[resource.Team](tx, team.ID)
		if err != nil {
			return err
		}
		if len(got.MemberUserIDs) != 1 || got.MemberUserIDs[0] != "Users-1" {
			t.Errorf("members: %v", got.MemberUserIDs)
		}
		_, n, err := store.List[resource.Team](tx, store.Query{System: true, Where: map[string][]string{"MemberUserIds": {user.ID}}})
		if err != nil || n != 0 {
			t.Errorf("%d teams are still found by the user, %v", n, err)
		}
		if ok, err := store.Exists(tx, resource.APIKeyKind, key.ID); err != nil || ok {
			t.Errorf("the key stayed: %v", err)
		}
		return nil
	})
}

func deleteMissing(t *testing.T, db *store.DB) {
	t.Helper()
	Refused(t, db, resource.NotFound, func(tx *store.Tx) error { return store.Delete[resource.Project](tx, "Projects-9") })
	e := &resource.Environment{Name: "Dev"}
	e.ID = "Environments-9"
	Refused(t, db, resource.NotFound, func(tx *store.Tx) error { return store.Update(tx, e) })
}
