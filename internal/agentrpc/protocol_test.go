package agentrpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/agentrpc/agentrpctest"
)

// broken lists what a peer that knows the old file would read or write wrongly
// of the new one.
func broken(was, now protoreflect.FileDescriptor) (faults []string) {
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	messages(was.Messages(), func(old protoreflect.MessageDescriptor) {
		name := strings.TrimPrefix(string(old.FullName()), string(was.Package())+".")
		present := lookUp(now, name)
		if present == nil {
			say("message %s is gone", name)
			return
		}
		for i := range old.Fields().Len() {
			f := old.Fields().Get(i)
			g := present.Fields().ByNumber(f.Number())
			if g == nil || g.Name() != f.Name() {
				say("%s.%s = %d is gone or another field", name, f.Name(), f.Number())
			} else if shape(g) != shape(f) {
				say("%s.%s was %s and is %s", name, f.Name(), shape(f), shape(g))
			}
		}
	})
	for i := range was.Enums().Len() {
		old := was.Enums().Get(i)
		present := now.Enums().ByName(old.Name())
		for j := range old.Values().Len() {
			v := old.Values().Get(j)
			if present == nil || present.Values().ByName(v.Name()) == nil || present.Values().ByName(v.Name()).Number() != v.Number() {
				say("%s.%s = %d is gone or another number", old.Name(), v.Name(), v.Number())
			}
		}
	}
	for i := range was.Services().Len() {
		old := was.Services().Get(i)
		present := now.Services().ByName(old.Name())
		for j := range old.Methods().Len() {
			m := old.Methods().Get(j)
			var n protoreflect.MethodDescriptor
			if present != nil {
				n = present.Methods().ByName(m.Name())
			}
			if n == nil || n.Input().FullName() != m.Input().FullName() || n.Output().FullName() != m.Output().FullName() ||
				n.IsStreamingClient() != m.IsStreamingClient() || n.IsStreamingServer() != m.IsStreamingServer() {
				say("RPC %s is gone or another", m.Name())
			}
		}
	}
	return faults
}

func messages(list protoreflect.MessageDescriptors, visit func(protoreflect.MessageDescriptor)) {
	for i := range list.Len() {
		visit(list.Get(i))
		messages(list.Get(i).Messages(), visit)
	}
}

func lookUp(file protoreflect.FileDescriptor, name string) (found protoreflect.MessageDescriptor) {
	messages(file.Messages(), func(m protoreflect.MessageDescriptor) {
		if string(m.FullName()) == string(file.Package())+"."+name {
			found = m
		}
	})
	return found
}

// shape is what decides about a field's bytes.
func shape(f protoreflect.FieldDescriptor) string {
	text := fmt.Sprint(f.Cardinality(), " ", f.Kind())
	if f.Message() != nil {
		text += " " + string(f.Message().FullName())
	}
	if f.Enum() != nil {
		text += " " + string(f.Enum().FullName())
	}
	if one := f.ContainingOneof(); one != nil {
		text += " in " + string(one.Name())
	}
	return text
}

// fault 45: what was ever sent can be read by today's release, and what today's
// sends by the first one.
func TestProtocolOnlyGrows(t *testing.T) {
	t.Parallel()
	first, err := agentrpctest.FirstVersion()
	if err != nil {
		t.Fatal(err)
	}
	file := func(p *descriptorpb.FileDescriptorProto) protoreflect.FileDescriptor {
		t.Helper()
		f, err := protodesc.NewFile(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	was := file(first)
	if faults := broken(was, agentrpc.File_agent_proto); faults != nil {
		t.Error(strings.Join(faults, "\n"))
	}
	// What the comparison is worth.
	for name, change := range map[string]func(*descriptorpb.FileDescriptorProto){
		"StartRequest.epoch = 3 is gone": func(p *descriptorpb.FileDescriptorProto) {
			message(p, "StartRequest").Field[2].Number = new(int32(30))
		},
		"StartRequest.epoch was optional int64 and is optional sint64": func(p *descriptorpb.FileDescriptorProto) {
			message(p, "StartRequest").Field[2].Type = descriptorpb.FieldDescriptorProto_TYPE_SINT64.Enum()
		},
		"PutRequest.chunk was optional bytes in part and": func(p *descriptorpb.FileDescriptorProto) {
			message(p, "PutRequest").Field[1].OneofIndex = nil
		},
		"Outcome.OUTCOME_CANCELED = 3 is gone": func(p *descriptorpb.FileDescriptorProto) {
			p.EnumType[1].Value = slices.Delete(p.EnumType[1].Value, 3, 4)
		},
		"RPC Query is gone": func(p *descriptorpb.FileDescriptorProto) {
			p.Service[0].Method[4].Name = new("Ask")
		},
	} {
		changed := proto.CloneOf(first)
		change(changed)
		if faults := broken(was, file(changed)); len(faults) != 1 || !strings.HasPrefix(faults[0], name) {
			t.Errorf("want %q, have %q", name, faults)
		}
	}
}

func message(p *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
	return p.MessageType[slices.IndexFunc(p.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == name })]
}

// fault 45
func TestVersionsAreNegotiated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mine, theirs agentrpc.Speaks
		want         int32
		ok           bool
	}{
		"the same":                   {agentrpc.Speaks{Newest: 2, Oldest: 1}, agentrpc.Speaks{Newest: 2, Oldest: 1}, 2, true},
		"one that does not say":      {agentrpc.Speaks{Newest: 2, Oldest: 1}, agentrpc.Speaks{}, 1, true},
		"newer, and speaks mine":     {agentrpc.Speaks{Newest: 2, Oldest: 1}, agentrpc.Speaks{Newest: 5, Oldest: 2}, 2, true},
		"older than what I can":      {agentrpc.Speaks{Newest: 4, Oldest: 3}, agentrpc.Speaks{Newest: 2, Oldest: 1}, 2, false},
		"too new":                    {agentrpc.Speaks{Newest: 2, Oldest: 1}, agentrpc.Speaks{Newest: 9, Oldest: 3}, 2, false},
		"does not say, and too old":  {agentrpc.Speaks{Newest: 3, Oldest: 2}, agentrpc.Speaks{}, 1, false},
		"our own with the first one": {agentrpc.Ours(), agentrpc.Speaks{}, 1, true},
	} {
		if version, ok := c.mine.Agree(c.theirs); version != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v", name, version, ok)
		}
		if version, ok := c.theirs.Agree(c.mine); version != c.want || ok != c.ok {
			t.Errorf("%s, seen from the other side: %d, %v", name, version, ok)
		}
	}
}
