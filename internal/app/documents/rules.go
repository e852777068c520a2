package documents

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// rules are what a kind asks for beyond its declaration. All of them run in
// the transaction of the change, may run more than once, and refuse it by an
// error.
type rules struct {
	// id claims the id of a new document, for kinds whose parts are named after it.
	id       func(*store.Tx, resource.Doc) (string, error)
	creating func(*store.Tx, resource.Doc) error // before it is stored, and before authorisation
	created  func(*store.Tx, resource.Doc) error // after
	updating func(tx *store.Tx, old, doc resource.Doc) error
	updated  func(tx *store.Tx, old, doc resource.Doc) error
	deleting func(*store.Tx, resource.Doc) error
}

func (s *Service) kindRules() map[*resource.Kind]rules {
	return map[*resource.Kind]rules{
		resource.SpaceKind:              s.spaceRules(),
		resource.EnvironmentKind:        environmentRules(),
		resource.ProjectKind:            projectRules(),
		resource.LibraryVariableSetKind: libraryRules(),
		resource.ChannelKind:            channelRules(),
		resource.MachinePolicyKind:      policyRules(),
		resource.WorkerPoolKind:         poolRules(),
		resource.FeedKind:               feedRules(),
		resource.MachineKind:            s.machineRules(),
		resource.WorkerKind:             workerRules(),
		resource.VariableSetKind:        variableRules(),
		resource.DeploymentProcessKind:  processRules(),
	}
}

// to is a document as its Go type. Kinds and types belong together, so another
// type is a defect of this program.
func to[T any](doc resource.Doc) *T {
	d, ok := any(doc).(*T)
	if !ok {
		panic(fmt.Sprintf("documents: a %s is no %T", doc.Kind().Name, d))
	}
	return d
}

// as makes a rule for documents of one Go type.
func as[T any](rule func(*store.Tx, *T) error) func(*store.Tx, resource.Doc) error {
	return func(tx *store.Tx, doc resource.Doc) error { return rule(tx, to[T](doc)) }
}

// asChange is as for a rule about two versions.
func asChange[T any](rule func(tx *store.Tx, old, doc *T) error) func(*store.Tx, resource.Doc, resource.Doc) error {
	return func(tx *store.Tx, old, doc resource.Doc) error { return rule(tx, to[T](old), to[T](doc)) }
}

// keepHidden copies the hidden fields of the stored document, or clears them
// when there is none: no client writes what none can read.
func keepHidden(doc, stored resource.Doc) {
	hidden := doc.Kind().Hidden
	if len(hidden) == 0 {
		return
	}
	to := reflect.ValueOf(doc).Elem()
	for _, f := range reflect.VisibleFields(to.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		switch {
		case !slices.Contains(hidden, name):
		case stored == nil:
			to.FieldByIndex(f.Index).SetZero()
		default:
			to.FieldByIndex(f.Index).Set(reflect.ValueOf(stored).Elem().FieldByIndex(f.Index))
		}
	}
}
