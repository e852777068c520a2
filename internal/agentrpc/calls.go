package agentrpc

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
)

// rpcs are the agent's RPCs over whichever connection the context of a call
// names. All links share them: a set of clients of its own takes each link
// 24 kB.
type rpcs struct{ small, large AgentClient }

var sharedRPCs = sync.OnceValue(func() rpcs {
	withLimit := func(limit int) AgentClient {
		return NewAgentClient(overContext{}, "https://agent",
			connect.WithReadMaxBytes(limit),
			connect.WithSendMaxBytes(LargeMessage),
			connect.WithAcceptCompression("gzip", nil, nil))
	}
	return rpcs{small: withLimit(MaxMessage), large: withLimit(LargeMessage)}
})

type connectionKey struct{}

// overContext sends requests over the connection in their context and never
// follows a redirect.
type overContext struct{}

func (overContext) Do(req *http.Request) (*http.Response, error) {
	cc, ok := req.Context().Value(connectionKey{}).(*http2.ClientConn)
	if !ok {
		return nil, errors.New("the call names no connection")
	}
	return cc.RoundTrip(req)
}

// client is one link's AgentClient. The RPCs that carry a job or a result have
// the large limit, all others the small one.
type client struct {
	cc  *http2.ClientConn
	all rpcs
}

func newClient(cc *http2.ClientConn) AgentClient { return client{cc: cc, all: sharedRPCs()} }

func (c client) over(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.cc)
}

// Describe implements AgentClient.
func (c client) Describe(ctx context.Context, r *connect.Request[DescribeRequest]) (*connect.Response[DescribeResponse], error) {
	return c.all.small.Describe(c.over(ctx), r)
}

// Have implements AgentClient.
func (c client) Have(ctx context.Context, r *connect.Request[HaveRequest]) (*connect.Response[HaveResponse], error) {
	return c.all.small.Have(c.over(ctx), r)
}

// Put implements AgentClient.
func (c client) Put(ctx context.Context) *connect.ClientStreamForClient[PutRequest, PutResponse] {
	return c.all.small.Put(c.over(ctx))
}

// Start implements AgentClient.
func (c client) Start(ctx context.Context, r *connect.Request[StartRequest]) (*connect.Response[StartResponse], error) {
	return c.all.large.Start(c.over(ctx), r)
}

// Query implements AgentClient.
func (c client) Query(ctx context.Context, r *connect.Request[QueryRequest]) (*connect.Response[QueryResponse], error) {
	return c.all.large.Query(c.over(ctx), r)
}

// Cancel implements AgentClient.
func (c client) Cancel(ctx context.Context, r *connect.Request[CancelRequest]) (*connect.Response[CancelResponse], error) {
	return c.all.small.Cancel(c.over(ctx), r)
}

// Follow implements AgentClient.
func (c client) Follow(ctx context.Context) *connect.BidiStreamForClient[FollowRequest, FollowResponse] {
	return c.all.large.Follow(c.over(ctx))
}

// Fetch implements AgentClient.
func (c client) Fetch(ctx context.Context, r *connect.Request[FetchRequest]) (*connect.ServerStreamForClient[FetchResponse], error) {
	return c.all.small.Fetch(c.over(ctx), r)
}

// Forget implements AgentClient.
func (c client) Forget(ctx context.Context, r *connect.Request[ForgetRequest]) (*connect.Response[ForgetResponse], error) {
	return c.all.small.Forget(c.over(ctx), r)
}

// Probe implements AgentClient.
func (c client) Probe(ctx context.Context, r *connect.Request[ProbeRequest]) (*connect.Response[ProbeResponse], error) {
	return c.all.small.Probe(c.over(ctx), r)
}
