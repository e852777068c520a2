package resource

// Reach says where the documents of a kind live.
type Reach uint8

// The reaches.
const (
	InSpace    Reach = iota // in exactly one space
	SystemWide              // in none
	Either                  // in one space, or in none when SpaceId is empty (teams)
)

// ColumnType says how a declared field is stored for filters and order.
type ColumnType uint8

// The column types.
const (
	TextColumn ColumnType = iota
	FoldColumn            // text, compared in its folded form
	IntColumn
	BoolColumn
	TimeColumn
)

// Tie says what a reference to another document means.
type Tie uint8

// The ties. The document that is pointed at is the target.
const (
	// Strict: the target has to exist in the same space (or in none), and
	// cannot be deleted while this document points at it.
	Strict Tie = iota
	// Owner: the target has to exist; when it is deleted, this goes with it.
	Owner
	// Pruned: the target has to exist; when it is deleted, it is taken out of
	// the list (or the field is emptied).
	Pruned
	// Loose: the target need not exist and can be deleted.
	Loose
)

// Field is a declared field of a kind: one the store can filter, order or
// resolve by. Path names it in the document's JSON, with dots into objects;
// arrays on the way are walked ("Phases.OptionalDeploymentTargets").
type Field struct {
	Path   string
	Column string // its SQL column; empty for lists, which live in document_value
	Type   ColumnType
	List   bool   // any number of values
	Ref    string // the kind it points at; alternatives with | between
	Tie    Tie
}

// Kind declares one kind of document; collection, routes, permissions, links
// and references follow from it (design 4).
type Kind struct {
	Name     string // "ProjectGroup": ItemType on the wire
	Noun     string // "project group", in sentences
	IDPrefix string // "ProjectGroups"; empty when ids are only derived
	Table    string // "project_group"
	Route    string // "projectgroups"; empty when nothing is served under it
	Reach    Reach
	// NameField is the field that people call it by; "" for none. It is unique
	// in the space, or within the documents that share UniqueWithin's value,
	// unless Repeatable.
	NameField    string
	UniqueWithin string // a declared field with a Column
	Repeatable   bool   // names need not be unique
	Slug         bool   // has a slug, unique like the name
	Fields       []Field
	Search       []string // columns that partialName looks into; name_key when empty
	Order        []string // columns of the default order, "-" in front for descending; id order breaks ties
	Permission   string   // the stem: ProjectView, ProjectEdit …
	// Filters maps a query parameter of the list to a declared field's Path.
	Filters map[string]string
	// Links are templates beside Self. {Self}, {Space} (/api/Spaces-1) and
	// {FieldName} are replaced; what starts in lower case or with ? or / is the
	// client's to expand.
	Links map[string]string
	// Hidden names top-level fields that no wire form or audit difference shows.
	Hidden []string
	// New makes an empty document to decode into.
	New func() Doc
}

// Field finds a declared field by its path.
func (k *Kind) Field(path string) (Field, bool) {
	for _, f := range k.Fields {
		if f.Path == path {
			return f, true
		}
	}
	return Field{}, false
}

// Head points at the fields that every document has. LastModifiedOn and
// LastModifiedBy may be nil.
type Head struct {
	ID             *string
	SpaceID        *string
	LastModifiedOn *Time
	LastModifiedBy *string
}

// Doc is a document. The methods want a pointer receiver.
type Doc interface {
	Kind() *Kind
	Head() Head
	// Validate refuses what breaks a rule that the document alone shows, with
	// an *Error. References, names in use and locks are the store's to check.
	Validate() error
}

// Defaulter fills in what a client left out. newID makes the identity of parts
// that need one (steps, phases, variables): a lower-case GUID. The store calls
// it before Validate.
type Defaulter interface{ SetDefaults(newID func() string) }

// Versioned documents carry their optimistic lock: the value of an update has
// to equal the stored one, and is raised by one.
type Versioned interface{ Lock() *int }

// Slugged documents have a slug, made from the name where it is empty.
type Slugged interface{ SlugField() *string }

// Secretive documents hold secrets. field is a path that stays the same under
// reordering; it is part of what the sealed bytes are bound to.
type Secretive interface {
	EachSecret(visit func(field string, s *Sensitive))
}

// Keyed documents are unique by this key instead of the folded name.
type Keyed interface{ UniqueKey() string }

// Document is the common part of most documents.
type Document struct {
	ID             string `json:"Id"`
	SpaceID        string `json:"SpaceId,omitempty"`
	LastModifiedOn Time   `json:"LastModifiedOn,omitzero"`
	LastModifiedBy string `json:"LastModifiedBy,omitempty"`
}

// Head implements Doc.
func (d *Document) Head() Head {
	return Head{ID: &d.ID, SpaceID: &d.SpaceID, LastModifiedOn: &d.LastModifiedOn, LastModifiedBy: &d.LastModifiedBy}
}

// Kinds are all kinds of documents, in the order in which a copy can be
// restored: what others point at comes first.
func Kinds() []*Kind {
	return []*Kind{
		SpaceKind, UserKind, APIKeyKind, UserRoleKind, TeamKind, ScopedUserRoleKind,
		EnvironmentKind, LifecycleKind, ProjectGroupKind, MachinePolicyKind, WorkerPoolKind,
		FeedKind, PackageKind, LibraryVariableSetKind, ProjectKind, ChannelKind,
		DeploymentProcessKind, VariableSetKind, ReleaseKind, DeploymentKind,
		MachineKind, WorkerKind, AgentTokenKind,
	}
}

// KindNamed finds a kind by its name; nil when there is none.
func KindNamed(name string) *Kind {
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	return nil
}
