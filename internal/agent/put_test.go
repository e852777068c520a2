package agent_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

func TestPackagesComeInBounds(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	digest := strings.Repeat("ab", 32)
	header := func(digest string, size int64) *agentrpc.PutRequest {
		return &agentrpc.PutRequest{Part: &agentrpc.PutRequest_Header_{Header: &agentrpc.PutRequest_Header{Sha256: digest, Size: size}}}
	}
	chunk := func(n int) *agentrpc.PutRequest {
		return &agentrpc.PutRequest{Part: &agentrpc.PutRequest_Chunk{Chunk: make([]byte, n)}}
	}
	for name, c := range map[string]struct {
		send []*agentrpc.PutRequest
		want connect.Code // 0: taken
	}{
		"whole":         {[]*agentrpc.PutRequest{header(digest, 5), chunk(2), chunk(3)}, 0},
		"nothing":       {nil, connect.CodeInvalidArgument},
		"no header":     {[]*agentrpc.PutRequest{chunk(1)}, connect.CodeInvalidArgument},
		"two headers":   {[]*agentrpc.PutRequest{header(digest, 5), header(digest, 5)}, connect.CodeInvalidArgument},
		"digest a path": {[]*agentrpc.PutRequest{header("../../../etc/passwd", 5)}, connect.CodeInvalidArgument},
		"too long":      {[]*agentrpc.PutRequest{header(digest, 5), chunk(6)}, connect.CodeInvalidArgument},
		"negative size": {[]*agentrpc.PutRequest{header(digest, -1)}, connect.CodeInvalidArgument},
		"cut off":       {[]*agentrpc.PutRequest{header(digest, 5), chunk(2)}, connect.CodeInternal}, // fault 43
	} {
		stream := m.link.Client.Put(t.Context())
		for _, part := range c.send {
			_ = stream.Send(part) // a refusal comes with the answer
		}
		_, err := stream.CloseAndReceive()
		if (err == nil) != (c.want == 0) || (err != nil && connect.CodeOf(err) != c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	answer, err := m.link.Client.Have(t.Context(), connect.NewRequest(&agentrpc.HaveRequest{Sha256: []string{digest}}))
	if err != nil || len(answer.Msg.GetMissing()) != 1 {
		t.Errorf("have: %v, %v", answer, err)
	}
	if _, err := m.link.Client.Have(t.Context(), connect.NewRequest(&agentrpc.HaveRequest{Sha256: []string{"../x"}})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("have of a path: %v", err)
	}
}
