package variables

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Resolver resolves one list of candidates in many contexts: a rollout makes
// one and asks it for every machine and action. It is safe for concurrent use
// and keeps the candidates, which nobody may change afterwards.
type Resolver struct{ groups [][]*Candidate }

// NewResolver groups the candidates by name, without case, in order of first
// appearance.
func NewResolver(candidates []Candidate) *Resolver {
	r := &Resolver{}
	at := make(map[string]int, len(candidates))
	for i := range candidates {
		c := &candidates[i]
		key := strings.ToLower(c.Name)
		g, ok := at[key]
		if !ok {
			g = len(r.groups)
			at[key] = g
			r.groups = append(r.groups, nil)
		}
		r.groups[g] = append(r.groups[g], c)
	}
	return r
}

// Resolve is NewResolver and Resolve for a single context.
func Resolve(candidates []Candidate, ctx Context) Result { return NewResolver(candidates).Resolve(ctx) }

// Result holds one choice per name that has a value in the context, in order of
// the name's first candidate, and a warning per tie.
type Result struct {
	Choices  []Choice
	Warnings []Warning
}

// Choice is the variable that applies.
type Choice struct {
	*Candidate
	Specificity Specificity
	Losers      []Loser // the others that apply, strongest first
}

// Loser is a variable that applies as well and lost, with the rule that
// decided.
type Loser struct {
	*Candidate
	Specificity Specificity
	Rule        Rule
}

// Rule is why one variable wins over another.
type Rule uint8

// The rules, in the order in which they are asked (configuration.md 2.2).
const (
	MoreSpecific  Rule = iota + 1
	NearerOrigin       // equally specific, from a stronger Rank
	EarlierSet         // a tie, broken by the order of the sets
	LowerID            // a tie, broken by the variables' ids
	EarlierListed      // the same id twice: the first one
)

// Tie says whether the rule is no more than a way to be deterministic: the
// person who wrote the variables meant something else or nothing.
func (r Rule) Tie() bool { return r >= EarlierSet }

func (r Rule) String() string {
	switch r {
	case MoreSpecific:
		return "is more specific"
	case NearerOrigin:
		return "comes from a nearer source"
	case EarlierSet:
		return "is in a set that is listed earlier"
	case LowerID:
		return "has the lower id"
	case EarlierListed:
		return "is listed earlier"
	}
	return "is the only one"
}

// Why says in one sentence why the choice won over one of its losers.
func (c *Choice) Why(l Loser) string {
	return fmt.Sprintf("%s (%s, %s) %s: the other is %s (%s, %s)",
		c.Specificity, c.Rank, c.SetID, l.Rule, l.Specificity, l.Rank, l.SetID)
}

// Warning names two variables between which only the tie-break decided.
type Warning struct{ Winner, Other *Candidate }

func (w Warning) String() string {
	return fmt.Sprintf("variable %q has two values that apply equally: %s of %s is used, %s of %s is not; scope one of them more narrowly",
		w.Winner.Name, w.Winner.ID, w.Winner.SetID, w.Other.ID, w.Other.SetID)
}

// match is a candidate that applies.
type match struct {
	*Candidate
	specificity Specificity
	score       int
}

// Resolve chooses the value of every name. Its cost is linear in the
// candidates; it allocates nothing for those that do not apply.
func (r *Resolver) Resolve(ctx Context) Result {
	result := Result{Choices: make([]Choice, 0, len(r.groups))}
	var matches []match
	for _, group := range r.groups {
		matches = matches[:0]
		for _, c := range group {
			if s, _, ok := c.Match(&ctx); ok {
				matches = append(matches, match{c, s, s.Score()})
			}
		}
		if len(matches) > 0 {
			result.add(matches)
		}
	}
	return result
}

// add appends the choice among the candidates of one name.
func (r *Result) add(matches []match) {
	if len(matches) > 1 {
		slices.SortStableFunc(matches, func(a, b match) int {
			order, _ := compare(a, b)
			return order
		})
	}
	winner := matches[0]
	choice := Choice{Candidate: winner.Candidate, Specificity: winner.specificity}
	for _, m := range matches[1:] {
		_, rule := compare(winner, m)
		choice.Losers = append(choice.Losers, Loser{Candidate: m.Candidate, Specificity: m.specificity, Rule: rule})
		if rule.Tie() {
			r.Warnings = append(r.Warnings, Warning{Winner: winner.Candidate, Other: m.Candidate})
		}
	}
	r.Choices = append(r.Choices, choice)
}

// compare orders two candidates, the winner first, and names the rule.
func compare(a, b match) (int, Rule) {
	if order := cmp.Compare(b.score, a.score); order != 0 {
		return order, MoreSpecific
	}
	if order := cmp.Compare(a.Rank, b.Rank); order != 0 {
		return order, NearerOrigin
	}
	if order := cmp.Compare(a.Order, b.Order); order != 0 {
		return order, EarlierSet
	}
	if order := cmp.Compare(a.ID, b.ID); order != 0 {
		return order, LowerID
	}
	return 0, EarlierListed
}
