package documents

import (
	"context"
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Life of a registration token.
const (
	tokenLasts    = time.Hour
	tokenLastsMax = 24 * time.Hour
)

// NewToken is what somebody asks of a registration token: what a machine may
// become with it, and for how long.
type NewToken struct {
	Name                            string
	EnvironmentIDs                  []string `json:"EnvironmentIds"`
	Roles                           []string
	MachinePolicyID                 string `json:"MachinePolicyId"`
	TenantedDeploymentParticipation string
	ValidFor                        resource.TimeSpan // one hour unless it says otherwise
}

// IssuedToken is the answer to it: the only time that the token is shown.
type IssuedToken struct {
	ID             string `json:"Id"`
	Token          string
	EnvironmentIDs []string `json:"EnvironmentIds"`
	Roles          []string
	Expires        resource.Time
}

// IssueToken makes a token with which one machine registers itself, within the
// environments and target tags it names (abuse 5, 6).
func (s *Service) IssueToken(ctx context.Context, by app.Caller, space string, in NewToken) (out IssuedToken, err error) {
	lasts := time.Duration(in.ValidFor)
	if lasts == 0 {
		lasts = tokenLasts
	}
	if lasts < 0 || lasts > tokenLastsMax {
		return out, resource.Errorf(resource.Invalid, "ValidFor has to be between 00:00:01 and 1.00:00:00.")
	}
	if len(in.EnvironmentIDs) == 0 || len(in.Roles) == 0 {
		return out, resource.Errorf(resource.Invalid, "Please name at least one environment and one target tag that machines with this token may have.")
	}
	token := s.cfg.NewToken()
	err = s.write(ctx, by, func(tx *store.Tx) error {
		doc := &resource.AgentToken{
			Name: in.Name, EnvironmentIDs: slices.Clone(in.EnvironmentIDs), Roles: slices.Clone(in.Roles),
			MachinePolicyID: in.MachinePolicyID, TenantedDeploymentParticipation: in.TenantedDeploymentParticipation,
			Created: resource.TimeOf(tx.Now()), Expires: resource.TimeOf(tx.Now().Add(lasts)), UsesLeft: 1,
		}
		doc.SpaceID = space
		if err := s.nameEnvironments(tx, by, space, doc.EnvironmentIDs); err != nil {
			return err
		}
		if err := mayDo(tx, by, authz.Create, doc); err != nil {
			return err
		}
		if doc.MachinePolicyID == "" {
			if doc.MachinePolicyID, err = defaultPolicy(tx, space); err != nil {
				return err
			}
		}
		doc.TokenHash = s.cfg.HashToken(token)
		if err := store.Insert(tx, doc); err != nil {
			return err
		}
		out = IssuedToken{ID: doc.ID, Token: token, EnvironmentIDs: doc.EnvironmentIDs, Roles: doc.Roles, Expires: doc.Expires}
		return audit(tx, created, nil, doc)
	})
	return out, err
}

// nameEnvironments turns names and slugs into ids, in place.
func (s *Service) nameEnvironments(tx *store.Tx, by app.Caller, space string, keys []string) error {
	for i, key := range keys {
		doc, err := s.find(tx, by, resource.EnvironmentKind, space, key)
		if resource.CodeOf(err) == resource.NotFound {
			return resource.Errorf(resource.Invalid, "There is no environment '%s'. Please choose one that exists.", key)
		}
		if err != nil {
			return err
		}
		keys[i] = *doc.Head().ID
	}
	return nil
}

// Registration is what a machine says of itself when it registers. Where it
// names no environments or roles, it gets all that the token grants.
type Registration struct {
	Name         string
	Endpoint     resource.Endpoint
	Environments []string // ids, slugs or names
	Roles        []string
}

var errToken = resource.Errorf(resource.Forbidden, "The registration token is not valid, has expired, or does not allow what was asked for. Please ask for a new one.")

// Register stores a machine on the strength of a token alone. The token is
// used up in the transaction that stores the machine: of two that try, one
// gets Conflict (abuse 5). A token that is expired or unknown, and a request
// for more than it grants, are Forbidden and change nothing (abuse 6).
func (s *Service) Register(ctx context.Context, token string, from app.Caller, in Registration) (out *resource.Machine, err error) {
	hash := s.cfg.HashToken(token)
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		grant, err := store.First[resource.AgentToken](tx, store.Query{AllSpaces: true, Where: map[string][]string{"TokenHash": {hash}}})
		switch {
		case resource.CodeOf(err) == resource.NotFound:
			return errToken
		case err != nil:
			return err
		case grant.UsesLeft == 0:
			return resource.Errorf(resource.Conflict, "The registration token was used already. Please ask for a new one.")
		case grant.Expires.Before(resource.TimeOf(tx.Now())):
			return errToken
		}
		by := app.Caller{Subject: tokenSubject(grant), Via: "Registration token " + grant.ID, IP: from.IP, UserAgent: from.UserAgent}
		tx.SetActor(by.Actor())
		m := &resource.Machine{Roles: in.Roles, TenantedDeploymentParticipation: grant.TenantedDeploymentParticipation}
		m.Name, m.Endpoint, m.MachinePolicyID = in.Name, in.Endpoint, grant.MachinePolicyID
		m.EnvironmentIDs = slices.Clone(in.Environments)
		if err := s.within(tx, by, grant, m); err != nil {
			return err
		}
		doc, err := s.create(tx, by, grant.SpaceID, m)
		if err != nil {
			return err
		}
		out = to[resource.Machine](doc)
		grant.UsesLeft, grant.UsedBy = grant.UsesLeft-1, append(grant.UsedBy, out.ID)
		return store.Update(tx, grant)
	})
	return out, err
}

// within bounds a machine by the token's grant.
func (s *Service) within(tx *store.Tx, by app.Caller, grant *resource.AgentToken, m *resource.Machine) error {
	if len(m.EnvironmentIDs) == 0 {
		m.EnvironmentIDs = slices.Clone(grant.EnvironmentIDs)
	}
	if len(m.Roles) == 0 {
		m.Roles = slices.Clone(grant.Roles)
	}
	if err := s.nameEnvironments(tx, by, grant.SpaceID, m.EnvironmentIDs); err != nil {
		return errToken
	}
	for _, id := range m.EnvironmentIDs {
		if !slices.Contains(grant.EnvironmentIDs, id) {
			return errToken
		}
	}
	for _, role := range m.Roles {
		if !slices.ContainsFunc(grant.Roles, func(r string) bool { return resource.Fold(r) == resource.Fold(role) }) {
			return errToken
		}
	}
	return nil
}

// tokenSubject may add machines to the token's environments, and nothing else.
func tokenSubject(t *resource.AgentToken) authz.Subject {
	return authz.Subject{
		UserID: t.ID, Username: t.Name, IsService: true,
		Grants: []authz.Grant{{
			Permissions: authz.SetOf(authz.MachineCreate, authz.MachineView, authz.EnvironmentView), Space: t.SpaceID,
			Environments: authz.Only(t.EnvironmentIDs...), Projects: authz.Any(), ProjectGroups: authz.Any(), Tenants: authz.Any(),
		}},
	}
}
