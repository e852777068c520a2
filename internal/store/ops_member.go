package store

import (
	"errors"
	"strings"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// changed, before a machine's id, is the inbox key of what happened to it.
const changed = "changed/"

// MachineChanged tells the running deployments of the environments that the
// machine may have come into their scope or left it: it connected, or somebody
// enabled, disabled, moved or retagged it (faults 35, 36).
func MachineChanged(tx *Tx, machine string, environments []string) error {
	var where conditions
	where.in("environment_id", append([]string{}, environments...))
	list, err := readRows(tx, "running deployments", `SELECT id FROM task`+where.sql()+` AND state = 'Executing' AND name = 'Deploy' ORDER BY ord`, scanText, where.args...)
	for _, id := range list {
		err = errors.Join(err, Post(tx, id, changed+machine, rollout.Event{At: tx.Now().UnixMilli(), Kind: rollout.Changed, Member: machine}, nil))
	}
	return err
}

// ChangedMachines are the machines of which a rollout's inbox says that they
// have changed.
func ChangedMachines(tx *Tx, id string) ([]string, error) {
	keys, err := readRows(tx, "changed machines", `SELECT dedup_key FROM inbox WHERE rollout_id = $1 AND dedup_key LIKE '`+changed+`%' ORDER BY n`, scanText, id)
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], changed)
	}
	return keys, err
}

// MemberOf reads a machine's part in a rollout; nil when it has none.
func MemberOf(tx *Tx, id, machine string) (*rollout.Member, error) {
	list, err := readRows(tx, "member "+machine, memberQuery+`WHERE rollout_id = $1 AND id = $2`, scanMember, id, machine)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}
