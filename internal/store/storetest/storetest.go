// Package storetest is the one suite that every database behind package store
// has to pass: SQLite, PostgreSQL, and the in-memory store of the simulation.
package storetest

import (
	"errors"
	"testing"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Run runs the suite. open gives each test an empty store of its own and
// closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	t.Helper()
	for _, group := range []map[string]func(*testing.T, *store.DB){
		documentTests(), referenceTests(), secretTests(), transactionTests(), auditTests(), logTests(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				Seed(t, db)
				test(t, db)
			})
		}
	}
}

// Seed seeds an empty store with the administrator Users-1.
func Seed(t *testing.T, db *store.DB) {
	t.Helper()
	Write(t, db, func(tx *store.Tx) error { return store.Seed(tx, store.Admin{Username: "admin"}) })
}

// Write fails the test when the transaction fails.
func Write(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// Read fails the test when the transaction fails.
func Read(t *testing.T, db *store.DB, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// Refused fails the test unless the transaction fails with the code.
func Refused(t *testing.T, db *store.DB, want resource.Code, fn func(tx *store.Tx) error) {
	t.Helper()
	if refusal := Refusal(t, db, want, fn); refusal == nil {
		t.Fatal("the refusal says nothing to a person")
	}
}

// Refusal is Refused, and returns what was said.
func Refusal(t *testing.T, db *store.DB, want resource.Code, fn func(tx *store.Tx) error) *resource.Error {
	t.Helper()
	err := db.Write(t.Context(), fn)
	if resource.CodeOf(err) != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	refusal, _ := errors.AsType[*resource.Error](err)
	return refusal
}

// Insert stores documents of the default space.
func Insert(t *testing.T, db *store.DB, docs ...resource.Doc) {
	t.Helper()
	for _, doc := range docs {
		if doc.Kind().Reach == resource.InSpace && *doc.Head().SpaceID == "" {
			*doc.Head().SpaceID = resource.DefaultSpace
		}
		Write(t, db, func(tx *store.Tx) error { return store.Insert(tx, doc) })
	}
}

// Project is a project of the default space, with what refers to it.
func Project(t *testing.T, db *store.DB, name string) *resource.Project {
	t.Helper()
	p := &resource.Project{Name: name, LifecycleID: "Lifecycles-1", ProjectGroupID: "ProjectGroups-1"}
	p.SpaceID = resource.DefaultSpace
	Write(t, db, func(tx *store.Tx) error {
		if err := store.Insert(tx, p); err != nil {
			return err
		}
		p.VariableSetID, p.DeploymentProcessID = resource.VariableSetID(p.ID), resource.DeploymentProcessID(p.ID)
		if err := store.Update(tx, p); err != nil {
			return err
		}
		set := &resource.VariableSet{OwnerID: p.ID, SpaceID: p.SpaceID}
		process := &resource.DeploymentProcess{ProjectID: p.ID}
		process.SpaceID = p.SpaceID
		if err := store.InsertAs(tx, set, p.VariableSetID); err != nil {
			return err
		}
		return store.InsertAs(tx, process, p.DeploymentProcessID)
	})
	return p
}

// Machine is a listening machine for the environment.
func Machine(name, environment string, roles ...string) *resource.Machine {
	m := &resource.Machine{EnvironmentIDs: []string{environment}, Roles: roles}
	m.Name, m.MachinePolicyID = name, "MachinePolicies-1"
	m.Endpoint = resource.Endpoint{CommunicationStyle: resource.StylePassive, URI: "https://" + name + ":10933/", Thumbprint: "ABCDEF"}
	return m
}
