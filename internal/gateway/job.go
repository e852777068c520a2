package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// order is an attempt as it is sent: the marshalled job, which holds secrets
// and lives in memory only, and the packages that have to be there first.
type order struct {
	bytes    []byte
	sum      []byte
	packages []*agentrpc.Package
}

// order renders the attempt from its rows and opens the secrets that it, and
// only it, needs (P9, invariant I10).
func (c *Core) order(ctx context.Context, attempt string) (*order, error) {
	job := &agentrpc.Job{LogQuota: logQuota}
	err := c.DB.Read(ctx, func(tx *store.Tx) error {
		payload, id, err := store.Render(tx, attempt)
		if err != nil {
			return err
		}
		job.ActionType, job.Exclusive = payload.ActionType, payload.Exclusive
		for i := range payload.Packages {
			job.Packages = append(job.Packages, jobPackage(&payload.Packages[i]))
		}
		job.Variables, err = jobVariables(tx, id, payload.Variables)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("render attempt %s: %w", attempt, err)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("marshal job of attempt %s: %w", attempt, err)
	}
	sum := sha256.Sum256(text)
	return &order{bytes: text, sum: sum[:], packages: job.Packages}, nil
}

func jobPackage(p *rollout.Package) *agentrpc.Package {
	return &agentrpc.Package{
		Name: p.Name, PackageId: p.PackageID, Version: p.Version, Sha256: p.SHA256,
		Size: p.Size, Extension: p.Extension, Extract: p.Extract,
	}
}

// jobVariables puts the values of secrets in the place of their references.
func jobVariables(tx *store.Tx, id string, list []rollout.PayloadVariable) ([]*agentrpc.Variable, error) {
	open := opener{tx: tx, rollout: id, boxes: map[string]map[string][]byte{}}
	out := make([]*agentrpc.Variable, 0, len(list))
	for i := range list {
		v := &agentrpc.Variable{Name: list[i].Name, Value: list[i].Value, Literal: list[i].Literal}
		if ref := list[i].Secret; ref != nil {
			value, err := open.value(*ref)
			if err != nil {
				return nil, fmt.Errorf("open secret %q: %w", v.Name, err)
			}
			v.Value, v.Sensitive = value, true
		}
		out = append(out, v)
	}
	return out, nil
}

// opener opens the secrets of one payload; each document is read once.
type opener struct {
	tx      *store.Tx
	rollout string
	boxes   map[string]map[string][]byte // document, field
}

func (o *opener) value(ref rollout.SecretRef) (string, error) {
	if ref.Document == "" {
		return o.output(ref.Field)
	}
	kind := kindOf(ref.Document)
	if kind == nil {
		return "", fmt.Errorf("document %s is of no kind that holds secrets", ref.Document)
	}
	boxes, known := o.boxes[ref.Document]
	if !known {
		doc, err := store.GetDoc(o.tx, kind, ref.Document)
		if err != nil {
			return "", err
		}
		boxes = boxesOf(doc)
		o.boxes[ref.Document] = boxes
	}
	box, found := boxes[ref.Field]
	if !found {
		return "", fmt.Errorf("%s %s has no secret %s", kind.Noun, ref.Document, ref.Field)
	}
	return o.tx.OpenBox(kind.Name, ref.Document, ref.Field, box)
}

// output opens the value of a secret output variable by its number.
func (o *opener) output(number string) (string, error) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return "", fmt.Errorf("output variable %q: %w", number, err)
	}
	box, source, err := store.OutputBox(o.tx, o.rollout, n)
	if err != nil {
		return "", err
	}
	return o.tx.OpenBox(outputKind, o.rollout, source, box)
}

// outputKind is what secret output variables are sealed as; their document is
// the rollout and their field the attempt and index that reported them.
const outputKind = "output"

// sealOutputs seals the secret values of an attempt's output variables, by
// index, for the inbox.
func sealOutputs(tx *store.Tx, w Work, secrets map[int]string) (map[int][]byte, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	space, err := store.RolloutSpace(tx, w.Rollout)
	if err != nil {
		return nil, err
	}
	boxes := make(map[int][]byte, len(secrets))
	for i, value := range secrets {
		if boxes[i], err = tx.SealBox(space, outputKind, w.Rollout, outputSource(w.Attempt, i), value); err != nil {
			return nil, err
		}
	}
	return boxes, nil
}

func boxesOf(doc resource.Doc) map[string][]byte {
	boxes := map[string][]byte{}
	if secretive, ok := doc.(resource.Secretive); ok {
		secretive.EachSecret(func(field string, s *resource.Sensitive) {
			if box, ok := s.Box(); ok {
				boxes[field] = box
			}
		})
	}
	return boxes
}

// kindOf tells a document's kind from its id; nil when it has none.
func kindOf(id string) *resource.Kind {
	switch {
	case strings.HasPrefix(id, resource.VariableSetID("")):
		return resource.VariableSetKind
	case strings.HasPrefix(id, resource.DeploymentProcessID("")):
		return resource.DeploymentProcessKind
	}
	prefix := id[:max(0, strings.LastIndexByte(id, '-'))]
	for _, k := range resource.Kinds() {
		if k.IDPrefix != "" && k.IDPrefix == prefix {
			return k
		}
	}
	return nil
}

// outputSource is where an output variable came from: what its sealing is
// bound to, and what rollout.Output keeps as Source.
func outputSource(attempt string, index int) string { return fmt.Sprintf("%s/%d", attempt, index) }
