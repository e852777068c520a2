package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// A package travels once, its receipt is stored with the tree's digest, and a
// second machine-side hit needs no transfer.
func TestPackageAndReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	pkg := r.pack("Shop", "1.0.0", strings.Repeat("package ", 200_000))
	a.run = func(_ context.Context, job *agentrpc.Job, _ func(string)) *agentrpc.Result {
		p := job.Packages[0]
		var attempt string
		for _, v := range job.Variables {
			if v.Name == "Slipway.Attempt.Id" {
				attempt = v.Value
			}
		}
		return &agentrpc.Result{
			Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED,
			Receipt: &agentrpc.Receipt{
				Attempt: attempt, PackageId: p.PackageId, Version: p.Version, PackageSha256: p.Sha256, InstallDir: "/opt/shop",
				Files: []*agentrpc.FileHash{{Path: "b", Size: 2, Sha256: "bb"}, {Path: "a/c", Size: 1, Sha256: "aa"}},
			},
		}
	}
	r.start()
	r.connect(a, unchanged)
	for range 2 {
		id := r.deploy(func(p *rollout.Plan) {
			p.Steps[0].Actions[0].Receipt = true
			p.Steps[0].Actions[0].Packages = []rollout.Package{pkg}
		})
		r.ends(id, rollout.Succeeded)
		r.read(func(tx *store.Tx) error {
			list, err := store.Receipts(tx, id)
			sum := sha256.Sum256([]byte("a/c\x001\x00aa\nb\x002\x00bb\n"))
			if err != nil || len(list) != 1 || list[0].Tree != hex.EncodeToString(sum[:]) || list[0].Machine != m || list[0].Files != 2 {
				t.Errorf("receipts %+v, %v", list, err)
			}
			return nil
		})
	}
	if a.puts != 1 || len(a.packages[pkg.SHA256]) != int(pkg.Size) {
		t.Errorf("%d transfers", a.puts)
	}
}

// Fault 42: a package that the agent refuses is sent once more, and then the
// attempt provably did not start; both digests are named.
func TestCorruptPackage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	pkg := r.pack("Shop", "1.0.0", "the real content")
	r.must(os.WriteFile(filepath.Join(r.folder, "blobs", pkg.SHA256[:2], pkg.SHA256), []byte("altered on disk!"), 0o600))
	id := r.deploy(func(p *rollout.Plan) { p.Steps[0].Actions[0].Packages = []rollout.Package{pkg} })
	r.turns(id)
	d := r.effects(m)[0]
	if follow, err := r.core().Deliver(t.Context(), r.link(a), &d); err != nil || follow {
		t.Fatalf("follow %v, %v", follow, err)
	}
	if a.calls["Put"] != 2 || len(a.starts) != 0 {
		t.Errorf("%d transfers, starts %v", a.calls["Put"], a.starts)
	}
	r.turns(id)
	at := r.view(id).Attempts[0]
	if at.Outcome != rollout.OutcomeNotStarted || at.SentAt != 0 {
		t.Errorf("attempt %+v", at)
	}
	contains(t, at.Reason, pkg.SHA256)
	sum := sha256.Sum256([]byte("altered on disk!"))
	contains(t, at.Reason, hex.EncodeToString(sum[:]))
	if c := r.view(id).Cells[0]; c.State != rollout.CellFailed {
		t.Errorf("cell %+v", c)
	}
}

// fault 42: a package that is damaged on the server reaches no machine that lacks
// it, whose step fails with both digests; a machine that has it whole goes on.
func TestCorruptPackageHarmsOneMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lacks, has := newAgent(t, "abc"), newAgent(t, "def")
	a, b := r.machine("web-1", lacks), r.machine("web-2", has)
	pkg := r.pack("Shop", "1.0.0", "the real content")
	has.packages[pkg.SHA256] = []byte("the real content")
	r.must(os.WriteFile(filepath.Join(r.folder, "blobs", pkg.SHA256[:2], pkg.SHA256), []byte("altered on disk!"), 0o600))
	r.start()
	r.connect(lacks, unchanged)
	r.connect(has, unchanged)
	view := r.ends(r.deploy(func(p *rollout.Plan) { p.Steps[0].Actions[0].Packages = []rollout.Package{pkg} }), rollout.Failed)
	states := map[string]rollout.CellState{}
	for _, c := range view.Cells {
		states[c.Member] = c.State
		if c.Member == a {
			sum := sha256.Sum256([]byte("altered on disk!"))
			contains(t, c.Reason, pkg.SHA256)
			contains(t, c.Reason, hex.EncodeToString(sum[:]))
		}
	}
	if states[a] != rollout.CellFailed || states[b] != rollout.CellSucceeded {
		t.Errorf("cells %v", states)
	}
	if len(lacks.starts) != 0 || has.calls["Put"] != 0 || lacks.calls["Put"] != 2 {
		t.Errorf("starts %v, %d and %d transfers", lacks.starts, lacks.calls["Put"], has.calls["Put"])
	}
}

// An agent that is busy or has no room answers NotStarted: the cell is tried
// again by itself, as another attempt.
func TestNotStartedIsRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	var once sync.Once
	a.before = func(rpc string) error {
		var err error
		if rpc == "Start" {
			once.Do(func() { err = connect.NewError(connect.CodeResourceExhausted, errors.New("disk full")) }) // fault 19
		}
		return err
	}
	r.start()
	r.connect(a, unchanged)
	id := r.deploy(nil)
	list := r.ends(id, rollout.Succeeded).Attempts
	if len(list) != 2 || list[0].Outcome != rollout.OutcomeNotStarted || list[0].Reason != "disk full" {
		t.Errorf("attempts %+v", list)
	}
	a.see(func() {
		if a.starts[attemptOf(id, m, 1)] != 0 || a.starts[attemptOf(id, m, 2)] != 1 {
			t.Errorf("starts %v", a.starts)
		}
	})
}

// Artifacts are in the blob store before the attempt ends; one that cannot be
// read is a warning.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	content := bytes.Repeat([]byte("report "), 10_000)
	a.run = func(context.Context, *agentrpc.Job, func(string)) *agentrpc.Result {
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, Artifacts: []*agentrpc.Artifact{
			{Name: "gone.txt", Key: "2", Size: 5}, {Name: "../../report.txt", Key: "1", Size: int64(len(content))},
		}}
	}
	id := r.deploy(nil)
	a.files[attemptOf(id, m, 1)+"/1"] = content
	r.start()
	r.connect(a, unchanged)
	at := r.ends(id, rollout.Succeeded).Attempts[0]
	if !at.Warnings {
		t.Errorf("attempt %+v", at)
	}
	contains(t, at.Reason, `artifact "gone.txt" cannot be read`)
	r.read(func(tx *store.Tx) error {
		list, err := store.Artifacts(tx, id)
		if err != nil || len(list) != 1 || list[0].Name != "../../report.txt" || list[0].Size != int64(len(content)) {
			t.Fatalf("artifacts %+v, %v", list, err)
		}
		file, err := r.blobs.Open(t.Context(), list[0].SHA256)
		if err != nil {
			return err
		}
		defer file.Close()
		if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, content) {
			t.Errorf("the blob has %d bytes, %v", len(got), err)
		}
		return nil
	})
}

// Abuse 73, 75: secrets of documents and secret outputs reach the attempts that
// need them, and nothing that the server keeps shows them: database, its WAL,
// logs, blobs, log lines.
func TestSecretsStaySealed(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t)
	const fromSet, fromScript = "canary-7f3a-of-the-set", "canary-91bc-of-the-script"
	r := newRig(t)
	a := newAgent(t, "abc")
	r.machine("web-1", a)
	var mu sync.Mutex
	seen := map[string]string{} // by variable, with "secret" in front where it was marked
	a.run = func(_ context.Context, job *agentrpc.Job, write func(string)) *agentrpc.Result {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range job.Variables {
			if v.Sensitive {
				seen[v.Name] = v.Value
			}
		}
		write("********\n")
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, Outputs: []*agentrpc.OutputVariable{
			{Name: "Port", Value: "80"}, {Name: "Token", Value: fromScript, Sensitive: true},
		}}
	}
	set := &resource.VariableSet{SpaceID: resource.DefaultSpace, Variables: []resource.Variable{
		{ID: "v1", Name: "Password", Type: "Sensitive", Secret: resource.Plain(fromSet)},
	}}
	r.write(func(tx *store.Tx) error {
		project := &resource.Project{}
		project.SpaceID, project.Name = resource.DefaultSpace, "Shop"
		project.LifecycleID, project.ProjectGroupID = "Lifecycles-1", "ProjectGroups-1"
		if err := store.Insert(tx, project); err != nil {
			return err
		}
		set.OwnerID = project.ID
		return store.InsertAs(tx, set, resource.VariableSetID("Copy"))
	})
	r.start()
	r.connect(a, unchanged)
	id := r.deploy(func(p *rollout.Plan) {
		second := p.Steps[0]
		second.ID, second.Name, second.Number = "s2", "Use", 2
		second.Actions = slices.Clone(second.Actions)
		second.Actions[0].ID, second.Actions[0].Name = "a2", "Use"
		p.Steps[0].Actions[0].Secrets = map[string]rollout.SecretRef{"Db.Password": {Document: set.ID, Field: "Variables/v1"}}
		p.Steps = append(p.Steps, second)
	})
	r.ends(id, rollout.Succeeded)
	mu.Lock()
	if seen["Db.Password"] != fromSet || seen["Octopus.Action[Run].Output.Token"] != fromScript {
		t.Errorf("the agent got %v", slices.Sorted(func(yield func(string) bool) {
			for name := range seen {
				if !yield(name) {
					return
				}
			}
		}))
	}
	mu.Unlock()
	searched := 0
	r.must(filepath.WalkDir(r.folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		searched += len(content)
		for _, canary := range []string{fromSet, fromScript, hex.EncodeToString([]byte(fromSet)), hex.EncodeToString([]byte(fromScript))} {
			if bytes.Contains(content, []byte(canary)) {
				t.Errorf("I10: %s holds %s", path, canary)
			}
		}
		return err
	}))
	if searched < 10_000 {
		t.Errorf("only %d bytes searched", searched)
	}
	r.read(func(tx *store.Tx) error {
		box, source, err := store.OutputBox(tx, id, 2)
		if err != nil {
			return err
		}
		if _, err := tx.OpenBox("output", "ServerTasks-99", source, box); err == nil {
			t.Error("I10: a box moved to another rollout opens")
		}
		return nil
	})
}

// cutting is a connection that breaks after a number of bytes in either
// direction.
type cutting struct {
	net.Conn

	mu   sync.Mutex
	left int
}

func (c *cutting) spend(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left -= n; c.left <= 0 {
		_ = c.Conn.Close()
	}
}

func (c *cutting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.spend(n)
	return n, err
}

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.spend(n)
	return n, err
}

// Invariant I6, fault 15: whatever byte the link breaks at, however often, the
// log arrives whole and once, the script starts once, and the result is
// stored once.
func TestLinkBreaksAnywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "abc")
	m := r.machine("web-1", a)
	var whole strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&whole, "%d\tstdout\tline %d\n", i, i)
	}
	a.run = func(_ context.Context, _ *agentrpc.Job, write func(string)) *agentrpc.Result {
		text := whole.String()
		for len(text) > 0 {
			n := min(len(text), 7777)
			write(text[:n])
			text = text[n:]
		}
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	cuts := 0
	r.start()
	r.connect(a, func(c net.Conn) net.Conn {
		mu.Lock()
		defer mu.Unlock()
		if cuts++; cuts > 60 {
			return c
		}
		return &cutting{Conn: c, left: 1500 + random.IntN(20_000)}
	})
	id := r.deploy(nil)
	view := r.ends(id, rollout.Succeeded)
	attempt := attemptOf(id, m, 1)
	if got := r.log(attempt); got != whole.String() {
		t.Errorf("the log has %d bytes, want %d", len(got), whole.Len())
	}
	if len(view.Attempts) != 1 || view.Attempts[0].LogLength != int64(whole.Len()) {
		t.Errorf("attempts %+v", view.Attempts)
	}
	a.see(func() {
		if a.starts[attempt] != 1 {
			t.Errorf("starts %v", a.starts)
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if cuts < 10 {
		t.Errorf("only %d links", cuts)
	}
}
