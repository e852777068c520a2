package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Limits of what one attempt may report; what is over them is left out and the
// result says so (abuse 14).
const (
	maxOutputs       = 1000
	maxOutputName    = 500
	maxOutputBytes   = 4 << 20 // of all values together
	maxArtifacts     = 200
	maxArtifactBytes = 2 << 30 // of all files together
)

// finish stores a result: the artifacts' bytes first, then in one transaction
// the receipt, the list of artifacts, the sealed secret outputs and the event
// that ends the attempt. Until then the agent keeps the result (fault 5).
func (c *Core) finish(ctx context.Context, agent Agent, w Work, result *agentrpc.Result, length, skew int64) error {
	end := endOf(result, length, skew)
	artifacts, err := c.collect(ctx, agent, w, result.Artifacts, end)
	if err != nil {
		return err
	}
	secrets := outputsOf(result.Outputs, end)
	receipt, files := receiptOf(result.Receipt)
	end.Receipt = receipt
	err = c.DB.Write(ctx, func(tx *store.Tx) error {
		boxes, err := sealOutputs(tx, w, secrets)
		if err != nil {
			return err
		}
		if receipt != nil && receipt.Attempt == w.Attempt {
			if err := store.SaveReceipt(tx, w.Attempt, w.Machine, receipt, files); err != nil {
				return err
			}
		}
		for i := range artifacts {
			if err := store.SaveArtifact(tx, &artifacts[i]); err != nil {
				return err
			}
		}
		return postEnded(tx, w.Rollout, w.Attempt, end, boxes)
	})
	if err != nil {
		return fmt.Errorf("store the result of attempt %s: %w", w.Attempt, err)
	}
	fail.Point(fail.ResultKept)
	return nil
}

var outcomes = map[agentrpc.Outcome]rollout.Outcome{
	agentrpc.Outcome_OUTCOME_SUCCEEDED:   rollout.OutcomeSucceeded,
	agentrpc.Outcome_OUTCOME_FAILED:      rollout.OutcomeFailed,
	agentrpc.Outcome_OUTCOME_CANCELED:    rollout.OutcomeCanceled,
	agentrpc.Outcome_OUTCOME_TIMED_OUT:   rollout.OutcomeTimedOut,
	agentrpc.Outcome_OUTCOME_NOT_STARTED: rollout.OutcomeNotStarted,
	agentrpc.Outcome_OUTCOME_UNKNOWN:     rollout.OutcomeUnknown,
}

// endOf reads the outcome; times are put on the server's clock (fault 29).
func endOf(r *agentrpc.Result, length, skew int64) *rollout.End {
	end := &rollout.End{
		ExitCode: int(r.ExitCode), Reason: clip(r.Reason, maxReason), LogLength: length, Warnings: r.Warnings,
	}
	var known bool
	if end.Outcome, known = outcomes[r.Outcome]; !known {
		end.Outcome = rollout.OutcomeUnknown
		end.Reason = fmt.Sprintf("the agent reported the outcome %d, which this server does not know", r.Outcome)
	}
	end.Retry = end.Outcome == rollout.OutcomeNotStarted
	end.Restarted = end.Outcome == rollout.OutcomeUnknown && r.Restarted
	if r.StartedMs > 0 && r.EndedMs >= r.StartedMs {
		end.StartedAt, end.EndedAt = r.StartedMs-skew, r.EndedMs-skew
	}
	if length < r.LogLength {
		warn(end, "the log is incomplete: the agent wrote %d bytes, %d have arrived", r.LogLength, length)
	}
	return end
}

// warn adds a sentence to the reason and marks the end with a warning.
func warn(end *rollout.End, format string, args ...any) {
	end.Warnings = true
	text := fmt.Sprintf(format, args...)
	if end.Reason != "" {
		text = end.Reason + "; " + text
	}
	end.Reason = clip(text, 2*maxReason)
}

func unknown(why string) *rollout.End {
	return &rollout.End{Outcome: rollout.OutcomeUnknown, Reason: why}
}

// outputsOf moves the output variables into the end. The values of secret ones
// are returned by Index instead and never enter a row (P9).
func outputsOf(list []*agentrpc.OutputVariable, end *rollout.End) (secrets map[int]string) {
	secrets = map[int]string{}
	room := maxOutputBytes
	for i, v := range list {
		room -= len(v.Value)
		if i >= maxOutputs || room < 0 || v.Name == "" || len(v.Name) > maxOutputName || !utf8.ValidString(v.Name) {
			warn(end, "%d output variables are over the limits or have no usable name and are left out", len(list)-i)
			return secrets
		}
		set := rollout.Set{Name: v.Name, Value: v.Value, Secret: v.Sensitive, Index: i}
		if v.Sensitive {
			//guard:output-sealed I10: a secret output enters no row as it is; seen by ./internal/gateway TestSecretsStaySealed
			set.Value = ""
			secrets[i] = v.Value
		}
		end.Outputs = append(end.Outputs, set)
	}
	return secrets
}

// receiptOf reads a receipt; its tree is the SHA-256 over the files, sorted by
// path, as "path\x00size\x00sha256\n" each.
func receiptOf(r *agentrpc.Receipt) (*rollout.Receipt, []store.ReceiptFile) {
	if r == nil {
		return nil, nil
	}
	files := make([]store.ReceiptFile, 0, len(r.Files))
	for _, f := range r.Files {
		files = append(files, store.ReceiptFile{Path: f.Path, Size: f.Size, SHA256: f.Sha256})
	}
	slices.SortFunc(files, func(a, b store.ReceiptFile) int { return cmp.Compare(a.Path, b.Path) })
	tree := sha256.New()
	for _, f := range files {
		fmt.Fprintf(tree, "%s\x00%d\x00%s\n", f.Path, f.Size, f.SHA256)
	}
	receipt := &rollout.Receipt{
		Attempt: r.Attempt, PackageID: r.PackageId, Version: r.Version, PackageSHA256: r.PackageSha256,
		InstallDir: r.InstallDir, Files: len(files),
	}
	if len(files) > 0 {
		receipt.Tree = hex.EncodeToString(tree.Sum(nil))
	}
	return receipt, files
}

// collect fetches the attempt's artifacts into the blob store. One that the
// agent cannot give is a warning; trouble with the link is an error.
func (c *Core) collect(ctx context.Context, agent Agent, w Work, list []*agentrpc.Artifact, end *rollout.End) ([]store.Artifact, error) {
	var kept []store.Artifact
	room := int64(maxArtifactBytes)
	for i, a := range list {
		if i >= maxArtifacts || a.Size > room || a.Size < 0 {
			warn(end, "%d artifacts are over the limits and are left out", len(list)-i)
			break
		}
		sum, size, err := c.fetch(ctx, agent, w.Attempt, a.Key, room)
		switch {
		case refusal(err), resource.CodeOf(err) == resource.TooLarge:
			warn(end, "artifact %q cannot be read: %s", clip(a.Name, 200), reason(err))
			continue
		case err != nil:
			return nil, fmt.Errorf("fetch artifact %d: %w", i, err)
		}
		room -= size
		kept = append(kept, store.Artifact{Attempt: w.Attempt, Item: strconv.Itoa(i), Name: clip(a.Name, maxOutputName), Size: size, SHA256: sum})
	}
	return kept, nil
}

// fetch reads one file of the attempt, at most limit bytes of it.
func (c *Core) fetch(ctx context.Context, agent Agent, attempt, key string, limit int64) (sum string, size int64, err error) {
	file, err := agent.Fetch(ctx, attempt, key)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = file.Close() }()
	ref, err := c.Blobs.Put(ctx, file, limit)
	return ref.SHA256, ref.Size, err
}

// clip cuts a text that came from an agent to n bytes of valid UTF-8.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
