package resource

// VariableSetKind declares VariableSet. A frozen copy has an id of SnapshotID;
// OwnerID is the project or library variable set in both.
var VariableSetKind = &Kind{
	Name: "VariableSet", Noun: "variable set", Table: "variable_set", Route: "variables",
	Permission: "Variable",
	Fields: []Field{
		{Path: "OwnerId", Column: "owner_id", Ref: "Project|LibraryVariableSet", Tie: Owner},
	},
	Filters: map[string]string{"ownerId": "OwnerId"},
	New:     func() Doc { return new(VariableSet) },
}

// Kind implements Doc.
func (s *VariableSet) Kind() *Kind { return VariableSetKind }

// Head implements Doc.
func (s *VariableSet) Head() Head { return Head{ID: &s.ID, SpaceID: &s.SpaceID} }

// Lock implements Versioned.
func (s *VariableSet) Lock() *int { return &s.Version }

// SetDefaults implements Defaulter: a variable without an id is a new one.
func (s *VariableSet) SetDefaults(newID func() string) {
	s.Variables = list(s.Variables)
	for i := range s.Variables {
		v := &s.Variables[i]
		if v.ID == "" {
			v.ID = newID()
		}
		def(&v.Type, "String")
	}
}
