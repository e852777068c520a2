package documents

import (
	"net/url"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// The rules of kinds that need few.

// environmentRules put a new environment at the end of the order.
func environmentRules() rules {
	return rules{creating: as(func(tx *store.Tx, e *resource.Environment) error {
		if e.SortOrder != 0 {
			return nil
		}
		last, err := store.First[resource.Environment](tx, store.Query{Space: e.SpaceID, Order: []string{"-sort_order"}})
		if resource.CodeOf(err) == resource.NotFound {
			return nil
		}
		if err == nil {
			e.SortOrder = last.SortOrder + 1
		}
		return err
	})}
}

func libraryRules() rules {
	return rules{
		id: func(tx *store.Tx, doc resource.Doc) (string, error) {
			id, err := tx.NextID(resource.LibraryVariableSetKind.IDPrefix)
			to[resource.LibraryVariableSet](doc).VariableSetID = resource.VariableSetID(id)
			return id, err
		},
		created: as(func(tx *store.Tx, l *resource.LibraryVariableSet) error {
			return store.InsertAs(tx, &resource.VariableSet{OwnerID: l.ID, SpaceID: l.SpaceID}, l.VariableSetID)
		}),
		updating: asChange(func(_ *store.Tx, old, l *resource.LibraryVariableSet) error {
			l.VariableSetID, l.ContentType = old.VariableSetID, old.ContentType
			return nil
		}),
	}
}

// channelRules keep exactly one default channel in a project.
func channelRules() rules {
	return rules{
		created: as(onlyDefaultChannel),
		updating: asChange(func(_ *store.Tx, old, c *resource.Channel) error {
			c.ProjectID = old.ProjectID
			c.IsDefault = c.IsDefault || old.IsDefault
			return nil
		}),
		updated: asChange(func(tx *store.Tx, _, c *resource.Channel) error { return onlyDefaultChannel(tx, c) }),
		deleting: as(func(_ *store.Tx, c *resource.Channel) error {
			if c.IsDefault {
				return resource.Errorf(resource.Invalid, "Channel '%s' is the project's default and cannot be deleted. Please make another channel the default first.", c.Name)
			}
			return nil
		}),
	}
}

func onlyDefaultChannel(tx *store.Tx, c *resource.Channel) error {
	if !c.IsDefault {
		return nil
	}
	others, _, err := store.List[resource.Channel](tx, store.Query{
		Space: c.SpaceID, Where: map[string][]string{"ProjectId": {c.ProjectID}, "IsDefault": {"true"}},
	})
	for i := range others {
		if err != nil || others[i].ID == c.ID {
			continue
		}
		others[i].IsDefault = false
		err = store.Update(tx, &others[i])
	}
	return err
}

// policyRules keep the default policy, and move machines to it from one that
// goes.
func policyRules() rules {
	return rules{
		creating: as(func(_ *store.Tx, p *resource.MachinePolicy) error {
			p.IsDefault = false
			return nil
		}),
		updating: asChange(func(_ *store.Tx, old, p *resource.MachinePolicy) error {
			p.IsDefault = old.IsDefault
			return nil
		}),
		deleting: as(func(tx *store.Tx, p *resource.MachinePolicy) error {
			if p.IsDefault {
				return resource.Errorf(resource.Invalid, "The default machine policy cannot be deleted.")
			}
			fallback, err := defaultPolicy(tx, p.SpaceID)
			if err != nil {
				return err
			}
			return moveToPolicy(tx, p, fallback)
		}),
	}
}

func defaultPolicy(tx *store.Tx, space string) (string, error) {
	p, err := store.First[resource.MachinePolicy](tx, store.Query{Space: space, Where: map[string][]string{"IsDefault": {"true"}}})
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

func moveToPolicy(tx *store.Tx, from *resource.MachinePolicy, to string) error {
	under := store.Query{Space: from.SpaceID, Where: map[string][]string{"MachinePolicyId": {from.ID}}}
	for _, k := range []*resource.Kind{resource.MachineKind, resource.WorkerKind, resource.AgentTokenKind} {
		docs, _, err := store.ListDocs(tx, k, under)
		if err != nil {
			return err
		}
		for _, doc := range docs {
			switch d := doc.(type) {
			case *resource.Machine:
				d.MachinePolicyID = to
			case *resource.Worker:
				d.MachinePolicyID = to
			case *resource.AgentToken:
				d.MachinePolicyID = to
			}
			if err := store.Update(tx, doc); err != nil {
				return err
			}
		}
	}
	return nil
}

// poolRules keep exactly one default worker pool.
func poolRules() rules {
	only := func(tx *store.Tx, p *resource.WorkerPool) error {
		if !p.IsDefault {
			return nil
		}
		others, _, err := store.List[resource.WorkerPool](tx, store.Query{Space: p.SpaceID, Where: map[string][]string{"IsDefault": {"true"}}})
		for i := range others {
			if err != nil || others[i].ID == p.ID {
				continue
			}
			others[i].IsDefault = false
			err = store.Update(tx, &others[i])
		}
		return err
	}
	return rules{
		created: as(only),
		updating: asChange(func(_ *store.Tx, old, p *resource.WorkerPool) error {
			p.IsDefault = p.IsDefault || old.IsDefault
			return nil
		}),
		updated: asChange(func(tx *store.Tx, _, p *resource.WorkerPool) error { return only(tx, p) }),
		deleting: as(func(_ *store.Tx, p *resource.WorkerPool) error {
			if p.IsDefault {
				return resource.Errorf(resource.Invalid, "The default worker pool cannot be deleted. Please make another one the default first.")
			}
			return nil
		}),
	}
}

// feedRules keep the built-in feeds, and drop a credential that would go to
// another host than it was given for (abuse 42).
func feedRules() rules {
	ours := func(f *resource.Feed) bool { return f.IsBuiltIn() || f.FeedType == resource.FeedProject }
	return rules{
		creating: as(func(_ *store.Tx, f *resource.Feed) error {
			if ours(f) {
				return resource.Errorf(resource.Invalid, "Every space has its own built-in feeds. Please choose another FeedType.")
			}
			return nil
		}),
		updating: asChange(func(_ *store.Tx, old, f *resource.Feed) error {
			if ours(old) || ours(f) {
				f.FeedType = old.FeedType
			}
			if hostOf(old.FeedURI) != hostOf(f.FeedURI) {
				f.EachSecret(func(_ string, secret *resource.Sensitive) {
					if secret.IsKept() {
						*secret = resource.Sensitive{}
					}
				})
			}
			return nil
		}),
		deleting: as(func(_ *store.Tx, f *resource.Feed) error {
			if ours(f) {
				return resource.Errorf(resource.Invalid, "The built-in feeds cannot be deleted.")
			}
			return nil
		}),
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func frozen(id string) error {
	if resource.IsSnapshotID(id) {
		return resource.Errorf(resource.Invalid, "'%s' is a snapshot of a release and cannot be changed. Please change the project and create a new release.", id)
	}
	return nil
}

func variableRules() rules {
	return rules{updating: asChange(func(_ *store.Tx, old, set *resource.VariableSet) error {
		set.OwnerID = old.OwnerID
		return frozen(old.ID)
	})}
}

func processRules() rules {
	return rules{updating: asChange(func(_ *store.Tx, old, p *resource.DeploymentProcess) error {
		p.ProjectID, p.LastSnapshotID = old.ProjectID, old.LastSnapshotID
		return frozen(old.ID)
	})}
}
