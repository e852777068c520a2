package resource

// Space is a part of the server of its own: no document of one space sees
// another's (octopus-api.md 2.1).
type Space struct {
	Document
	Name                     string
	Slug                     string
	Description              string
	IsDefault                bool
	TaskQueueStopped         bool
	SpaceManagersTeams       []string
	SpaceManagersTeamMembers []string
}

// SpaceKind declares Space.
var SpaceKind = &Kind{
	Name: "Space", Noun: "space", IDPrefix: "Spaces", Table: "space", Route: "spaces",
	Reach: SystemWide, NameField: "Name", Slug: true, Permission: "Space",
	Fields: []Field{
		{Path: "IsDefault", Column: "is_default", Type: BoolColumn},
		{Path: "SpaceManagersTeams", List: true, Ref: "Team", Tie: Pruned},
		{Path: "SpaceManagersTeamMembers", List: true, Ref: "User", Tie: Pruned},
	},
	Order:   []string{"name_key"},
	Filters: map[string]string{"name": "Name"},
	Links: map[string]string{
		"SpaceHome": "/api/{Id}",
		"Web":       "/app#/{Id}",
		"Logo":      "{Self}/logo",
		"Search":    "{Self}/search{?keyword}",
	},
	New: func() Doc { return new(Space) },
}

// Kind implements Doc.
func (s *Space) Kind() *Kind { return SpaceKind }

// SlugField implements Slugged.
func (s *Space) SlugField() *string { return &s.Slug }

// SetDefaults implements Defaulter.
func (s *Space) SetDefaults(func() string) {
	s.SpaceManagersTeams = list(s.SpaceManagersTeams)
	s.SpaceManagersTeamMembers = list(s.SpaceManagersTeamMembers)
}

// Validate implements Doc.
func (s *Space) Validate() error {
	if err := first(CheckName("space", s.Name, 50), CheckText("Description", s.Description)); err != nil {
		return err
	}
	if len(s.SpaceManagersTeams) == 0 && len(s.SpaceManagersTeamMembers) == 0 {
		return invalid("SpaceManagersTeams", "Please give the space at least one manager: a team in SpaceManagersTeams or a user in SpaceManagersTeamMembers.")
	}
	return nil
}

// list makes an absent list an empty one: clients want [] (octopus-api.md 1.5).
func list[E any](in []E) []E {
	if in == nil {
		return []E{}
	}
	return in
}
