//go:build unix

package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

func sum(text []byte) []byte {
	digest := sha256.Sum256(text)
	return digest[:]
}

// liar is an agent of ours that runs nothing and says what it likes about it.
type liar struct {
	agentrpc.UnimplementedAgentHandler

	subscription string
	// claims makes the result of an attempt from the honest one.
	claims func(attempt string, honest *agentrpc.Result) *agentrpc.Result

	mu   sync.Mutex
	jobs map[string]*agentrpc.Job
}

// lies registers the liar as a machine of the stage and lets it poll.
func (s *stage) lies(claims func(string, *agentrpc.Result) *agentrpc.Result) {
	s.t.Helper()
	id := someone(s.t)
	l := &liar{subscription: "poll://" + strings.ToLower(id.Thumbprint()[:20]) + "/", claims: claims, jobs: map[string]*agentrpc.Job{}}
	m := s.newMachine("liar")
	m.id = s.post(s.t, "/api/machines", map[string]any{
		"Name": m.name, "EnvironmentIds": []string{s.environment.ID()}, "Roles": []string{"web"},
		"Endpoint": map[string]any{"CommunicationStyle": "TentacleActive", "Uri": l.subscription, "Thumbprint": id.Thumbprint()},
	}).ID()
	poller := &agentrpc.Poller{
		Addresses: []string{s.agents}, TLS: agentrpc.ClientTLS(id, agentrpc.Pinned(s.thumbprint)), Handler: agentrpc.NewHandler(l),
		Random: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = poller.Run(ctx) }()
	s.t.Cleanup(func() { cancel(nil); <-done })
	eventually(s.t, "the liar is healthy", func() bool { return m.document().Text("HealthStatus") == "Healthy" })
}

func (l *liar) Describe(context.Context, *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	return connect.NewResponse(&agentrpc.DescribeResponse{SubscriptionId: l.subscription, Incarnation: 1, Hostname: "liar", BootId: "b"}), nil
}

func (l *liar) Probe(context.Context, *connect.Request[agentrpc.ProbeRequest]) (*connect.Response[agentrpc.ProbeResponse], error) {
	return connect.NewResponse(&agentrpc.ProbeResponse{}), nil
}

func (l *liar) Have(context.Context, *connect.Request[agentrpc.HaveRequest]) (*connect.Response[agentrpc.HaveResponse], error) {
	return connect.NewResponse(&agentrpc.HaveResponse{}), nil // it has everything
}

func (l *liar) Forget(context.Context, *connect.Request[agentrpc.ForgetRequest]) (*connect.Response[agentrpc.ForgetResponse], error) {
	return connect.NewResponse(&agentrpc.ForgetResponse{}), nil
}

func (l *liar) Start(_ context.Context, r *connect.Request[agentrpc.StartRequest]) (*connect.Response[agentrpc.StartResponse], error) {
	job := new(agentrpc.Job)
	if err := proto.Unmarshal(r.Msg.Payload, job); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs[r.Msg.Attempt] = job
	return connect.NewResponse(&agentrpc.StartResponse{State: agentrpc.AttemptState_ATTEMPT_STATE_RUNNING}), nil
}

func (l *liar) Follow(_ context.Context, stream *connect.BidiStream[agentrpc.FollowRequest, agentrpc.FollowResponse]) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	l.mu.Lock()
	job := l.jobs[first.Attempt]
	l.mu.Unlock()
	honest := &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED}
	for _, p := range job.GetPackages() {
		honest.Receipt = &agentrpc.Receipt{
			Attempt: first.Attempt, PackageId: p.PackageId, Version: p.Version, PackageSha256: p.Sha256, InstallDir: "/apps/one",
			Files: []*agentrpc.FileHash{{Path: "app.txt", Size: 1, Sha256: hex.EncodeToString(sum([]byte("x")))}},
		}
	}
	return stream.Send(&agentrpc.FollowResponse{Event: &agentrpc.FollowResponse_Result{Result: l.claims(first.Attempt, honest)}})
}

// What an agent claims counts only with the proof: a receipt for this very
// attempt, for the release's package, with files (P1, abuse 7, 8).
func TestClaimsWithoutProof(t *testing.T) {
	t.Parallel()
	on := sharedServer(t)
	for name, tt := range map[string]struct {
		claim func(*agentrpc.Result)
		state string
		says  string
	}{
		"the proof":         {func(*agentrpc.Result) {}, "Success", ""},
		"no receipt":        {func(r *agentrpc.Result) { r.Receipt = nil }, "Failed", "no receipt"},
		"another attempt's": {func(r *agentrpc.Result) { r.Receipt.Attempt += "9" }, "Failed", "receipt is for attempt"},
		"another package's": {func(r *agentrpc.Result) { r.Receipt.PackageSha256 = strings.Repeat("0", 64) }, "Failed", "digest"},
		"no files":          {func(r *agentrpc.Result) { r.Receipt.Files = nil }, "Failed", "receipt"},
		"an unknown word":   {func(r *agentrpc.Result) { r.Outcome = 99 }, "Failed", "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, on)
			s.lies(func(_ string, r *agentrpc.Result) *agentrpc.Result { tt.claim(r); return r })
			s.push("1.0.0", map[string]string{"app.txt": "x"})
			s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "", nil)))
			s.variables(variable("Slipway.Deployment.UnknownOutcome", "Fail")) // nobody is there to ask
			task, log := s.ship("1.0.0", tt.state)
			contains(t, "the log", log, tt.says)
			if to := s.deployedTo(task); (len(to) == 1) != (tt.state == "Success") {
				t.Errorf("deployed to %v", to)
			}
		})
	}
}
