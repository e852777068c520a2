package documents

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Node is one of the servers that use the database together.
type Node = store.Node

// Nodes are all servers that have used the database, by name.
func (s *Service) Nodes(ctx context.Context, who app.Caller) (list []Node, err error) {
	if err := app.Allow(who, authz.ConfigureServer, authz.Scope{}); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err = store.ListNodes(tx)
		return err
	})
	return list, err
}

// Node is one of them; NotFound when there is none of that name.
func (s *Service) Node(ctx context.Context, who app.Caller, name string) (Node, error) {
	list, err := s.Nodes(ctx, who)
	for i := range list {
		if list[i].Name == name {
			return list[i], err
		}
	}
	if err == nil {
		err = store.NoSuchNode(name)
	}
	return Node{}, err
}

// Drain asks a server to hand its work over to the others, or takes that back.
func (s *Service) Drain(ctx context.Context, who app.Caller, name string, on bool) error {
	if err := app.Allow(who, authz.ConfigureServer, authz.Scope{}); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		changed, err := store.Drain(tx, name, on)
		if err != nil || !changed {
			return err
		}
		message := fmt.Sprintf("The server %s is drained", name)
		if !on {
			message = fmt.Sprintf("The server %s takes work again", name)
		}
		return store.Audit(tx, store.AuditRecord{Category: resource.EventModified, Message: message})
	})
}
