package sim

import (
	"errors"
	"fmt"

	"github.com/slipwayhq/slipway/internal/agent"
)

// disk is the file of an agent's journal. What was written and not synced is
// lost in part when the machine loses its power; a killed process loses
// nothing.
type disk struct {
	m       *machine
	content []byte
	synced  int // of content
	reserve bool
}

var errIO = errors.New("input/output error")

// crashing is how an agent that dies within a call unwinds.
type crashing struct{}

// point is a moment in a write at which the agent may die or its disk fail.
func (d *disk) point(what string) error {
	if d.m.agent != nil && d.m.w.chance("agent killed at "+what, 250) {
		d.m.killAgent()
		panic(crashing{})
	}
	if d.m.w.chance("disk error at "+what, 500) {
		return errIO
	}
	return nil
}

func (d *disk) Load() ([]byte, error) { return append([]byte(nil), d.content...), nil }

func (d *disk) Write(p []byte) error {
	if err := d.point("write"); err != nil {
		return err
	}
	if d.m.full {
		return fmt.Errorf("write: %w", agent.ErrDiskFull)
	}
	d.content = append(d.content, p...)
	return nil
}

func (d *disk) Sync() error {
	if err := d.point("sync"); err != nil {
		return err
	}
	d.synced = len(d.content)
	return d.point("synced")
}

func (d *disk) Truncate(size int64) error {
	d.content = d.content[:size]
	d.synced = len(d.content)
	return nil
}

func (d *disk) Replace(content []byte) error {
	if err := d.point("replace"); err != nil {
		return err
	}
	if d.m.full {
		return fmt.Errorf("replace: %w", agent.ErrDiskFull)
	}
	d.content = append([]byte(nil), content...)
	d.synced = len(d.content)
	return nil
}

func (d *disk) Reserve() error {
	if d.m.full && !d.reserve {
		return fmt.Errorf("reserve: %w", agent.ErrDiskFull)
	}
	d.reserve = true
	return nil
}

// Spend frees the reserve: a few records fit although the disk is full.
func (d *disk) Spend() error {
	if d.reserve {
		d.reserve = false
		d.m.full = false
		d.m.w.after(d.m.w.between(10, 200), func() {
			if d.m.wasFull {
				d.m.full = true
			}
		})
	}
	return nil
}

// powerLoss loses a part of what was not synced; what is left may end in the
// middle of a record, or in garbage.
func (d *disk) powerLoss() {
	unsynced := len(d.content) - d.synced
	if unsynced == 0 {
		return
	}
	keep := d.m.w.rng.IntN(unsynced + 1)
	d.content = d.content[:d.synced+keep]
	if keep > 0 && d.m.w.rng.IntN(2) == 0 {
		d.content[len(d.content)-1] ^= 0x55
	}
}
