package variables_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/variables"
)

func candidate(id string, scope resource.VariableScope) variables.Candidate {
	return variables.Candidate{
		Variable: &resource.Variable{ID: id, Name: "V", Value: id, Scope: scope},
		SetID:    "variableset-Projects-1", Rank: variables.Project,
	}
}

func here() variables.Context {
	return variables.Context{
		Environment: "Environments-1", Machine: "Machines-1", MachineRoles: []string{"web", "db"}, StepRoles: []string{"web"},
		Action: "a1", Channel: "Channels-1", Tenant: "Tenants-1", TenantTags: []string{"Ring/Early"},
		ProcessOwners: []string{"Projects-1"}, Project: "Projects-1",
	}
}

// TestOrder lists one value per dimension; each must lose to the one before it,
// whatever the order in which they are declared (configuration.md 2.2.2).
func TestOrder(t *testing.T) {
	t.Parallel()
	tenant := candidate("tenant", resource.VariableScope{})
	tenant.Tenant = "Tenants-1"
	project := candidate("project", resource.VariableScope{})
	project.Project = "Projects-1"
	order := []variables.Candidate{
		candidate("action", resource.VariableScope{Action: []string{"a1"}}),
		candidate("machine", resource.VariableScope{Machine: []string{"Machines-1"}}),
		candidate("targeted role", resource.VariableScope{Role: []string{"WEB"}}),
		candidate("other role", resource.VariableScope{Role: []string{"db"}}),
		tenant,
		candidate("tag", resource.VariableScope{TenantTag: []string{"Ring/Early"}}),
		candidate("environment", resource.VariableScope{Environment: []string{"Environments-1"}}),
		candidate("channel", resource.VariableScope{Channel: []string{"Channels-1"}}),
		candidate("process", resource.VariableScope{ProcessOwner: []string{"Projects-1"}}),
		project,
		candidate("unscoped", resource.VariableScope{}),
	}
	for i := range len(order) - 1 {
		for _, pair := range [][]variables.Candidate{{order[i], order[i+1]}, {order[i+1], order[i]}} {
			result := variables.Resolve(pair, here())
			choice := result.Choices[0]
			if choice.ID != order[i].ID || len(choice.Losers) != 1 || choice.Losers[0].Rule != variables.MoreSpecific || len(result.Warnings) > 0 {
				t.Errorf("%s against %s: %s won, %v", order[i].ID, order[i+1].ID, choice.ID, result.Warnings)
			}
		}
	}
}

func TestScoresAdd(t *testing.T) {
	t.Parallel()
	env := []string{"Environments-1"}
	tenant := candidate("tenant", resource.VariableScope{})
	tenant.Tenant = "Tenants-1"
	for _, c := range []struct{ winner, loser variables.Candidate }{
		{ // a tag with an environment beats a tenant alone: the one exception to the order
			candidate("tag and environment", resource.VariableScope{TenantTag: []string{"Ring/Early"}, Environment: env}), tenant,
		},
		{
			candidate("machine", resource.VariableScope{Machine: []string{"Machines-1"}}),
			candidate("role, environment, channel", resource.VariableScope{Role: []string{"web"}, Environment: env, Channel: []string{"Channels-1"}}),
		},
		{
			candidate("role and environment", resource.VariableScope{Role: []string{"web"}, Environment: env}),
			candidate("two roles", resource.VariableScope{Role: []string{"web", "db"}}), // more values are not more specific
		},
	} {
		if got := variables.Resolve([]variables.Candidate{c.loser, c.winner}, here()).Choices[0].ID; got != c.winner.ID {
			t.Errorf("%s won over %s", got, c.winner.ID)
		}
	}
}

func TestTiesAreDeterministicAndWarn(t *testing.T) {
	t.Parallel()
	web := candidate("1", resource.VariableScope{Role: []string{"web"}})
	both := candidate("2", resource.VariableScope{Role: []string{"web", "db"}})
	library := candidate("0", resource.VariableScope{Role: []string{"web"}})
	library.SetID, library.Rank = "variableset-LibraryVariableSets-1", variables.Library
	for _, list := range [][]variables.Candidate{{web, both, library}, {library, both, web}} {
		result := variables.Resolve(list, here())
		choice := result.Choices[0]
		if choice.ID != "1" || len(choice.Losers) != 2 {
			t.Fatalf("%s won over %d", choice.ID, len(choice.Losers))
		}
		if choice.Losers[0].Rule != variables.LowerID || choice.Losers[1].Rule != variables.NearerOrigin {
			t.Errorf("rules %v", choice.Losers)
		}
		if len(result.Warnings) != 1 || result.Warnings[0].Winner.ID != "1" || result.Warnings[0].Other.ID != "2" {
			t.Errorf("warnings %v", result.Warnings)
		}
	}
}

func TestWhatDoesNotApply(t *testing.T) {
	t.Parallel()
	runbook := here()
	runbook.Channel, runbook.Action = "", ""
	otherTenant := candidate("t", resource.VariableScope{})
	otherTenant.Tenant = "Tenants-2"
	stepOnly := here()
	stepOnly.StepRoles = []string{"web", "cache"}
	for name, c := range map[string]struct {
		candidate variables.Candidate
		ctx       variables.Context
		missed    variables.Dimension
	}{
		"channel in a runbook":             {candidate("c", resource.VariableScope{Channel: []string{"Channels-1"}}), runbook, variables.Channel},
		"step outside of it":               {candidate("a", resource.VariableScope{Action: []string{"a1"}}), runbook, variables.Action},
		"an empty id":                      {candidate("c", resource.VariableScope{Channel: []string{""}}), runbook, variables.Channel},
		"another tenant's value":           {otherTenant, here(), variables.Tenant},
		"a targeted role of other machine": {candidate("r", resource.VariableScope{Role: []string{"cache"}}), stepOnly, variables.Role},
		"one of two dimensions": {
			candidate("e", resource.VariableScope{Machine: []string{"Machines-1"}, Environment: []string{"Environments-2"}}), here(), variables.Environment,
		},
	} {
		if _, missed, ok := c.candidate.Match(&c.ctx); ok || missed != c.missed {
			t.Errorf("I10: %s: applies %v, missed %v", name, ok, missed)
		}
		if got := variables.Resolve([]variables.Candidate{c.candidate}, c.ctx); len(got.Choices) > 0 {
			t.Errorf("%s: chosen", name)
		}
	}
}

func TestSecretsStayReferences(t *testing.T) {
	t.Parallel()
	c := candidate("9", resource.VariableScope{})
	if _, ok := c.SecretRef(); ok {
		t.Error("an open value has a secret")
	}
	c.IsSensitive, c.Value, c.Secret = true, "", resource.Sealed([]byte("box"))
	choice := variables.Resolve([]variables.Candidate{c}, here()).Choices[0]
	if ref, ok := choice.SecretRef(); !ok || ref != (variables.SecretRef{SetID: "variableset-Projects-1", VariableID: "9"}) {
		t.Errorf("reference %+v", ref)
	}
}

// TestAgainstWeights compares with the published scores, computed another way:
// by counting over every subset of dimensions that a value names.
func TestAgainstWeights(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := variables.Context{
			Environment: "e0", Machine: "m0", MachineRoles: rapid.SliceOfNDistinct(value("r"), 0, 3, rapid.ID).Draw(t, "machine roles"),
			StepRoles: rapid.SliceOfNDistinct(value("r"), 0, 3, rapid.ID).Draw(t, "step roles"), Action: "a0", Channel: "c0", Tenant: "t0",
			TenantTags: []string{"g0", "g1"}, ProcessOwners: []string{"p0"}, Project: "p0",
		}
		list := rapid.SliceOfN(rapid.Custom(drawCandidate), 1, 12).Draw(t, "candidates")
		for i := range list {
			list[i].ID = fmt.Sprintf("v%02d", i)
		}
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		result := variables.Resolve(shuffled, ctx)
		best, score := oracle(list, ctx)
		if best == "" {
			if len(result.Choices) > 0 {
				t.Fatalf("nothing applies and %s won", result.Choices[0].ID)
			}
			return
		}
		choice := result.Choices[0]
		if choice.ID != best || choice.Specificity.Score() != score {
			t.Fatalf("%s (%d) won, want %s (%d)", choice.ID, choice.Specificity.Score(), best, score)
		}
		for _, l := range choice.Losers {
			if choice.Why(l) == "" || l.ID == choice.ID {
				t.Fatalf("loser %s of %s", l.ID, choice.ID)
			}
		}
	})
}

func value(prefix string) *rapid.Generator[string] {
	return rapid.Map(rapid.IntRange(0, 2), func(i int) string { return fmt.Sprintf("%s%d", prefix, i) })
}

func drawCandidate(t *rapid.T) variables.Candidate {
	some := func(prefix string) []string {
		if rapid.IntRange(0, 2).Draw(t, "scoped") > 0 {
			return nil
		}
		return rapid.SliceOfNDistinct(value(prefix), 1, 2, rapid.ID).Draw(t, prefix)
	}
	c := variables.Candidate{
		Variable: &resource.Variable{Name: rapid.SampledFrom([]string{"Name", "NAME"}).Draw(t, "name"), Scope: resource.VariableScope{
			Environment: some("e"), Machine: some("m"), Action: some("a"), Role: some("r"),
			Channel: some("c"), TenantTag: some("g"), ProcessOwner: some("p"),
		}},
		Rank: variables.Rank(rapid.IntRange(0, 4).Draw(t, "rank")), Order: rapid.IntRange(0, 1).Draw(t, "order"),
	}
	if tenant := some("t"); tenant != nil {
		c.Tenant = tenant[0]
	}
	if project := some("p"); project != nil {
		c.Project = project[0]
	}
	return c
}

// oracle finds the best candidate of one name and its score.
func oracle(list []variables.Candidate, ctx variables.Context) (best string, score int) {
	key := ""
	for _, c := range list {
		sum, ok := weigh(c, ctx)
		if !ok {
			continue
		}
		// One text that sorts as the rules do, best first.
		k := fmt.Sprintf("%012d %d %d %s", 1_000_000_000_000-1-sum, c.Rank, c.Order, c.ID)
		if key == "" || k < key {
			key, best, score = k, c.ID, sum
		}
	}
	return best, score
}

func weigh(c variables.Candidate, ctx variables.Context) (int, bool) {
	has := func(list []string, wanted ...string) bool {
		joined := "|" + strings.Join(list, "|") + "|"
		for _, w := range wanted {
			if strings.Contains(joined, "|"+w+"|") {
				return true
			}
		}
		return false
	}
	targeted, carried := false, has(c.Scope.Role, ctx.MachineRoles...)
	for _, r := range ctx.MachineRoles {
		targeted = targeted || (has(ctx.StepRoles, r) && has(c.Scope.Role, r))
	}
	role := 10_000
	if targeted {
		role = 100_000
	}
	sum := 0
	for _, d := range []struct {
		scoped, holds bool
		weight        int
	}{
		{len(c.Scope.Action) > 0, has(c.Scope.Action, ctx.Action), 10_000_000},
		{len(c.Scope.Machine) > 0, has(c.Scope.Machine, ctx.Machine), 1_000_000},
		{len(c.Scope.Role) > 0, carried, role},
		{c.Tenant != "", c.Tenant == ctx.Tenant, 1001},
		{len(c.Scope.TenantTag) > 0, has(c.Scope.TenantTag, ctx.TenantTags...), 1000},
		{len(c.Scope.Environment) > 0, has(c.Scope.Environment, ctx.Environment), 100},
		{len(c.Scope.Channel) > 0, has(c.Scope.Channel, ctx.Channel), 10},
		{len(c.Scope.ProcessOwner) > 0, has(c.Scope.ProcessOwner, ctx.ProcessOwners...), 5},
		{c.Project != "", c.Project == ctx.Project, 1},
	} {
		if d.scoped && !d.holds {
			return 0, false
		}
		if d.scoped {
			sum += d.weight
		}
	}
	return sum, true
}

func BenchmarkResolve(b *testing.B) {
	var list []variables.Candidate
	for i := range 500 {
		c := candidate(fmt.Sprint(i), resource.VariableScope{Environment: []string{fmt.Sprintf("Environments-%d", i%3)}})
		c.Name = fmt.Sprintf("Name%d", i/3)
		list = append(list, c)
	}
	resolver, ctx := variables.NewResolver(list), here()
	b.ReportAllocs()
	for b.Loop() {
		if len(resolver.Resolve(ctx).Choices) == 0 {
			b.Fatal("nothing applies")
		}
	}
}
