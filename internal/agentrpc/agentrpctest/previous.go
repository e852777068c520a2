// Package agentrpctest lets tests play an agent or a server of an earlier
// release: what such a peer does not know of a message does not pass.
package agentrpctest

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// firstVersion is agent.proto as it was in protocol version 1, compiled by
// protoc --descriptor_set_out. It is never written again.
//
//go:embed protocol-1.binpb
var firstVersion []byte

// FirstVersion describes the messages and RPCs of protocol version 1.
func FirstVersion() (*descriptorpb.FileDescriptorProto, error) {
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(firstVersion, set); err != nil || len(set.File) != 1 {
		return nil, fmt.Errorf("read protocol version 1: %d files: %w", len(set.File), err)
	}
	return set.File[0], nil
}

// Previous is a peer of an earlier release, as an interceptor of either side:
// each message goes through the bytes that such a peer can write and read.
type Previous struct{ file protoreflect.FileDescriptor }

// NewPrevious gives the peer that speaks the described version.
func NewPrevious(version *descriptorpb.FileDescriptorProto) (*Previous, error) {
	file, err := protodesc.NewFile(version, nil)
	if err != nil {
		return nil, fmt.Errorf("read the previous protocol: %w", err)
	}
	return &Previous{file}, nil
}

// Strip takes out of the message what the peer does not know.
func (p *Previous) Strip(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	known := p.file.Messages().ByName(m.ProtoReflect().Descriptor().Name())
	if known == nil {
		return connect.NewError(connect.CodeUnimplemented, fmt.Errorf("%T is not of that release", message))
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	then := dynamicpb.NewMessage(known)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(wire, then); err != nil {
		return fmt.Errorf("the earlier release cannot read %T: %w", message, err)
	}
	if wire, err = proto.Marshal(then); err != nil {
		return err
	}
	return proto.Unmarshal(wire, m) // which resets it
}

// Handler serves the agent as one of that release would.
func (p *Previous) Handler(agent agentrpc.AgentHandler) http.Handler {
	_, handler := agentrpc.NewAgentHandler(agent, connect.WithInterceptors(p),
		connect.WithReadMaxBytes(agentrpc.LargeMessage), connect.WithCompression("gzip", nil, nil))
	return handler
}

// Client calls the agent as a server of that release would.
func (p *Previous) Client(over connect.HTTPClient) agentrpc.AgentClient {
	return agentrpc.NewAgentClient(over, "https://agent", connect.WithInterceptors(p), connect.WithAcceptCompression("gzip", nil, nil))
}

// WrapUnary implements connect.Interceptor.
func (p *Previous) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := p.Strip(req.Any()); err != nil {
			return nil, err
		}
		res, err := next(ctx, req)
		if err != nil {
			return nil, err
		}
		return res, p.Strip(res.Any())
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (p *Previous) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return clientConn{next(ctx, spec), p}
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (p *Previous) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, handlerConn{conn, p})
	}
}

type clientConn struct {
	connect.StreamingClientConn

	p *Previous
}

func (c clientConn) Send(m any) error {
	if m != nil { // nil sends the headers alone
		if err := c.p.Strip(m); err != nil {
			return err
		}
	}
	return c.StreamingClientConn.Send(m)
}

func (c clientConn) Receive(m any) error {
	if err := c.StreamingClientConn.Receive(m); err != nil {
		return err
	}
	return c.p.Strip(m)
}

type handlerConn struct {
	connect.StreamingHandlerConn

	p *Previous
}

func (c handlerConn) Send(m any) error {
	if err := c.p.Strip(m); err != nil {
		return err
	}
	return c.StreamingHandlerConn.Send(m)
}

func (c handlerConn) Receive(m any) error {
	if err := c.StreamingHandlerConn.Receive(m); err != nil {
		return err
	}
	return c.p.Strip(m)
}
