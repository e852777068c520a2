package resource

import "strings"

// Lifecycle says through which environments releases go, and in which order
// (octopus-api.md 2.3). Without phases there is one for each environment, in
// their order.
type Lifecycle struct {
	Document
	Name                    string
	Slug                    string
	Description             string
	Phases                  []Phase
	ReleaseRetentionPolicy  *RetentionPeriod
	TentacleRetentionPolicy *RetentionPeriod
}

// Phase is one stage of a lifecycle. A nil policy inherits the lifecycle's.
type Phase struct {
	ID                                 string `json:"Id"`
	Name                               string
	AutomaticDeploymentTargets         []string // environments
	OptionalDeploymentTargets          []string // environments
	MinimumEnvironmentsBeforePromotion int      // 0: all of them
	IsOptionalPhase                    bool
	IsPriorityPhase                    bool
	ReleaseRetentionPolicy             *RetentionPeriod
	TentacleRetentionPolicy            *RetentionPeriod
}

// The strategies of a RetentionPeriod.
const (
	RetainDefault = "Default"
	RetainForever = "Forever"
	RetainCount   = "Count"
)

// RetentionPeriod says how long something is kept (octopus-api.md 1.8). It
// goes back to clients as they sent it.
type RetentionPeriod struct {
	Strategy          string
	QuantityToKeep    int // 0: for ever
	ShouldKeepForever bool
	Unit              string // "Days" or "Items", in any case
}

// LifecycleKind declares Lifecycle.
var LifecycleKind = &Kind{
	Name: "Lifecycle", Noun: "lifecycle", IDPrefix: "Lifecycles", Table: "lifecycle", Route: "lifecycles",
	NameField: "Name", Slug: true, Permission: "Lifecycle",
	Fields: []Field{
		{Path: "Phases.AutomaticDeploymentTargets", List: true, Ref: "Environment"},
		{Path: "Phases.OptionalDeploymentTargets", List: true, Ref: "Environment"},
	},
	Order: []string{"name_key"},
	Links: map[string]string{
		"Projects": "{Self}/projects",
		"Preview":  "{Self}/preview",
	},
	New: func() Doc { return new(Lifecycle) },
}

// Kind implements Doc.
func (l *Lifecycle) Kind() *Kind { return LifecycleKind }

// SlugField implements Slugged.
func (l *Lifecycle) SlugField() *string { return &l.Slug }

// SetDefaults implements Defaulter.
func (l *Lifecycle) SetDefaults(newID func() string) {
	l.Phases = list(l.Phases)
	if l.ReleaseRetentionPolicy == nil {
		l.ReleaseRetentionPolicy = defaultRetention()
	}
	if l.TentacleRetentionPolicy == nil {
		l.TentacleRetentionPolicy = defaultRetention()
	}
	l.ReleaseRetentionPolicy.setDefaults()
	l.TentacleRetentionPolicy.setDefaults()
	for i := range l.Phases {
		p := &l.Phases[i]
		if p.ID == "" {
			p.ID = newID()
		}
		p.AutomaticDeploymentTargets = list(p.AutomaticDeploymentTargets)
		p.OptionalDeploymentTargets = list(p.OptionalDeploymentTargets)
		p.ReleaseRetentionPolicy.setDefaults()
		p.TentacleRetentionPolicy.setDefaults()
	}
}

func defaultRetention() *RetentionPeriod {
	return &RetentionPeriod{Strategy: RetainDefault, Unit: "Items"}
}

func (r *RetentionPeriod) setDefaults() {
	if r == nil {
		return
	}
	if r.Strategy == "" {
		r.Strategy = RetainCount
		if r.ShouldKeepForever {
			r.Strategy = RetainForever
		}
	}
	if r.Unit == "" {
		r.Unit = "Items"
	}
}

// Forever says that nothing is ever removed.
func (r *RetentionPeriod) Forever() bool {
	return r == nil || r.Strategy == RetainForever || r.ShouldKeepForever || r.Strategy == RetainCount && r.QuantityToKeep == 0
}

// Validate implements Doc.
func (l *Lifecycle) Validate() error {
	err := first(CheckName("lifecycle", l.Name, MaxName), CheckText("Description", l.Description),
		l.ReleaseRetentionPolicy.validate("ReleaseRetentionPolicy"),
		l.TentacleRetentionPolicy.validate("TentacleRetentionPolicy"))
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for i := range l.Phases {
		p := &l.Phases[i]
		if err := p.validate(); err != nil {
			return err
		}
		if names[Fold(p.Name)] {
			return invalid("Phases", "Two phases are named '%s'. Please give each phase a name of its own.", p.Name)
		}
		names[Fold(p.Name)] = true
	}
	return nil
}

func (p *Phase) validate() error {
	if err := CheckName("phase", p.Name, MaxName); err != nil {
		return err
	}
	environments := len(p.AutomaticDeploymentTargets) + len(p.OptionalDeploymentTargets)
	if p.MinimumEnvironmentsBeforePromotion < 0 {
		return invalid("Phases", "Phase '%s' asks for %d environments before promotion. Please use 0 for all of them, or more.", p.Name, p.MinimumEnvironmentsBeforePromotion)
	}
	if environments > 0 && p.MinimumEnvironmentsBeforePromotion > environments {
		return invalid("Phases", "Phase '%s' asks for %d environments before promotion but has only %d. Please lower the number or add environments.", p.Name, p.MinimumEnvironmentsBeforePromotion, environments)
	}
	return first(p.ReleaseRetentionPolicy.validate("Phases"), p.TentacleRetentionPolicy.validate("Phases"))
}

func (r *RetentionPeriod) validate(field string) error {
	if r == nil {
		return nil
	}
	if r.QuantityToKeep < 0 {
		return invalid(field, "%s keeps %d. Please use 0 for all, or more.", field, r.QuantityToKeep)
	}
	if !strings.EqualFold(r.Unit, "Days") && !strings.EqualFold(r.Unit, "Items") {
		return invalid(field, "%s has the unit '%.40s'. It has to be Days or Items.", field, r.Unit)
	}
	return oneOf(field+".Strategy", r.Strategy, RetainDefault, RetainForever, RetainCount)
}
