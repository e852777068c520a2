package resource

import (
	"strings"
	"unicode/utf8"
)

// User is a person or a service (octopus-api.md 2.17). Username is unique in
// its folded form, which is also what a login is looked up by (abuse 17).
type User struct {
	Document
	Username      string
	DisplayName   string
	EmailAddress  string
	IsActive      bool
	IsService     bool
	PasswordHash  Sensitive  `json:",omitzero"`
	SessionsAfter Time       `json:",omitzero"` // sessions made before it are over
	Identities    []Identity `json:",omitempty"`
}

// Identity ties a user to one at an identity provider.
type Identity struct {
	IdentityProviderName string
	Claims               map[string]IdentityClaim
}

// IdentityClaim is one claim of an Identity.
type IdentityClaim struct {
	Value              string
	IsIdentifyingClaim bool
}

// UserKind declares User.
var UserKind = &Kind{
	Name: "User", Noun: "user", IDPrefix: "Users", Table: "user", Route: "users",
	Reach: SystemWide, NameField: "Username", Permission: "User",
	Fields: []Field{
		{Path: "DisplayName", Column: "display_name", Type: FoldColumn},
		{Path: "EmailAddress", Column: "email_address", Type: FoldColumn},
		{Path: "IsService", Column: "is_service", Type: BoolColumn},
		{Path: "IsActive", Column: "is_active", Type: BoolColumn},
	},
	Search: []string{"name_key", "display_name", "email_address"},
	Order:  []string{"name_key"},
	Links: map[string]string{ //nolint:gosec // addresses, not credentials
		"ApiKeys":                  "{Self}/apikeys{/id}{?skip,take}",
		"Permissions":              "{Self}/permissions{?spaces,includeSystem}",
		"PermissionsConfiguration": "{Self}/permissions/configuration{?spaces,includeSystem}",
		"Spaces":                   "{Self}/spaces",
		"Teams":                    "{Self}/teams{?spaces,includeSystem}",
		"Avatar":                   "{Self}/avatar",
	},
	Hidden: []string{"PasswordHash", "SessionsAfter"},
	New:    func() Doc { return new(User) },
}

// Kind implements Doc.
func (u *User) Kind() *Kind { return UserKind }

// SetDefaults implements Defaulter.
func (u *User) SetDefaults(func() string) {
	u.Username = strings.TrimSpace(u.Username)
	def(&u.DisplayName, u.Username)
}

// EachSecret implements Secretive.
func (u *User) EachSecret(visit func(string, *Sensitive)) { visit("PasswordHash", &u.PasswordHash) }

// Validate implements Doc.
func (u *User) Validate() error {
	if u.Username == "" {
		return invalid("Username", "Please provide a user name.")
	}
	if utf8.RuneCountInString(u.Username) > MaxName || !printable(u.Username) {
		return invalid("Username", "Please provide a user name of at most %d printable characters.", MaxName)
	}
	if len(u.EmailAddress) > 320 || !printable(u.EmailAddress) {
		return invalid("EmailAddress", "Please provide an e-mail address of at most 320 printable characters.")
	}
	return CheckName("user", u.DisplayName, MaxName)
}

// APIKey lets its user in without a password. The key itself is shown once;
// what is stored is its SHA-256 (package secret makes and checks keys).
type APIKey struct {
	Document
	UserID   string `json:"UserId"`
	Purpose  string
	KeyHash  string // lower-case hex
	Hint     string // "API-ABC…"
	Created  Time
	Expires  Time // none: never
	LastUsed Time `json:",omitzero"`
}

// APIKeyKind declares APIKey. Its wire form is made by hand.
var APIKeyKind = &Kind{
	Name: "ApiKey", Noun: "API key", IDPrefix: "APIKeys", Table: "api_key",
	Reach: SystemWide, Permission: "User",
	Fields: []Field{
		{Path: "UserId", Column: "user_id", Ref: "User", Tie: Owner},
		{Path: "KeyHash", Column: "key_hash"},
	},
	Order:  []string{"-ord"},
	Hidden: []string{"KeyHash"},
	New:    func() Doc { return new(APIKey) },
}

// Kind implements Doc.
func (k *APIKey) Kind() *Kind { return APIKeyKind }

// Validate implements Doc.
func (k *APIKey) Validate() error {
	if len(k.KeyHash) != 64 {
		return invalid("ApiKey", "The API key has no hash.")
	}
	if k.Purpose != "" {
		return CheckName("API key", k.Purpose, MaxName)
	}
	return nil
}

// AgentToken lets machines register, within what it grants (abuse 5, 6). The
// token is shown once; what is stored is its SHA-256.
type AgentToken struct {
	Document
	Name                            string
	TokenHash                       string   // lower-case hex
	EnvironmentIDs                  []string `json:"EnvironmentIds"`
	Roles                           []string
	WorkerPoolIDs                   []string `json:"WorkerPoolIds"`
	MachinePolicyID                 string   `json:"MachinePolicyId"`
	TenantedDeploymentParticipation string
	Created                         Time
	Expires                         Time
	UsesLeft                        int // 0: used up
	UsedBy                          []string
}

// AgentTokenKind declares AgentToken. What is deleted stays in its lists and
// grants nothing.
var AgentTokenKind = &Kind{
	Name: "AgentToken", Noun: "agent token", IDPrefix: "AgentTokens", Table: "agent_token", Route: "agenttokens",
	NameField: "Name", Repeatable: true, Permission: "Machine",
	Fields: []Field{
		{Path: "TokenHash", Column: "token_hash"},
		{Path: "EnvironmentIds", List: true, Ref: "Environment", Tie: Loose},
		{Path: "WorkerPoolIds", List: true, Ref: "WorkerPool", Tie: Loose},
		{Path: "MachinePolicyId", Column: "machine_policy_id", Ref: "MachinePolicy"},
	},
	Order:  []string{"-ord"},
	Hidden: []string{"TokenHash"},
	New:    func() Doc { return new(AgentToken) },
}

// Kind implements Doc.
func (t *AgentToken) Kind() *Kind { return AgentTokenKind }

// SetDefaults implements Defaulter.
func (t *AgentToken) SetDefaults(func() string) {
	def(&t.Name, "Agent registration")
	def(&t.TenantedDeploymentParticipation, Untenanted)
	t.EnvironmentIDs = list(t.EnvironmentIDs)
	t.Roles = trimmed(t.Roles)
	t.WorkerPoolIDs = list(t.WorkerPoolIDs)
	t.UsedBy = list(t.UsedBy)
}

// Validate implements Doc.
func (t *AgentToken) Validate() error {
	if len(t.TokenHash) != 64 {
		return invalid("Token", "The agent token has no hash.")
	}
	if t.Expires.IsZero() {
		return invalid("Expires", "Please say when the token expires.")
	}
	if t.UsesLeft < 0 {
		return invalid("UsesLeft", "UsesLeft cannot be negative.")
	}
	return CheckName("agent token", t.Name, MaxName)
}
