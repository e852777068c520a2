package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// The files of an attempt's folder. Apart from them the folder belongs to the
// job.
const (
	fileMarker  = "started" // a Marker; whoever makes it decides whether the job may start
	fileLog     = "log"     // written by the shim alone
	fileCancel  = "cancel"  // written by the agent: the grace in milliseconds
	fileExit    = "exit"    // a frame with the result, written by the shim
	fileReserve = "reserve" // space for the exit record on a full disk
	fileErrors  = "shim.err"
)

var attemptID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// ValidID says whether the text may be the id of an attempt or rollout; nothing
// else is used as a key or goes near a path (abuse 9).
func ValidID(id string) bool { return len(id) <= 200 && attemptID.MatchString(id) }

// Folder is an attempt's own folder. Its name is a hash of the id, so that no
// file system's idea of equal or reserved names matters.
type Folder struct {
	Path    string
	Attempt string
}

func folderName(attempt string) string {
	sum := sha256.Sum256([]byte(attempt))
	return hex.EncodeToString(sum[:16])
}

// Marker says who decided about an attempt's start: the shim, just before the
// job, or the agent, by revoking. It is made once and never changes.
type Marker struct {
	Attempt string    `json:"attempt"`
	Shim    *proc.Ref `json:"shim,omitempty"`
	Revoked bool      `json:"revoked,omitempty"`
}

// create makes the folder, durably, and takes the space for the exit record.
func (f Folder) create() error {
	parent := filepath.Dir(f.Path)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fullDisk(err)
	}
	if err := os.Mkdir(f.Path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fullDisk(err)
	}
	if err := reserveFile(filepath.Join(f.Path, fileReserve), exitReserve); err != nil {
		return err
	}
	return errors.Join(syncDir(f.Path), syncDir(parent))
}

// claim makes the marker; fs.ErrExist when it was made before.
func (f Folder) claim(m Marker) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return claimFile(f.Path, fileMarker, text)
}

// marker reads the marker; nil when there is none.
func (f Folder) marker() (*Marker, error) {
	text, err := readOptional(filepath.Join(f.Path, fileMarker))
	if err != nil || text == nil {
		return nil, err
	}
	m := new(Marker)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read marker of %s: %w: %w", f.Attempt, ErrDamaged, err)
	}
	return m, nil
}

// finish writes the exit record, on a full disk into the reserved space.
func (f Folder) finish(result *agentrpc.Result) error {
	text, err := proto.Marshal(result)
	if err != nil {
		return err
	}
	frame, err := encodeFrame([]Record{{Kind: RecordEnded, Attempt: f.Attempt, Result: text}})
	if err != nil {
		return err
	}
	err = writeFile(f.Path, fileExit, frame)
	if errors.Is(err, ErrDiskFull) {
		_ = os.Remove(filepath.Join(f.Path, fileReserve))
		err = writeFile(f.Path, fileExit, frame)
	}
	return err
}

// result reads the exit record; nil when there is none.
func (f Folder) result() (*agentrpc.Result, error) {
	content, err := readOptional(filepath.Join(f.Path, fileExit))
	if err != nil || content == nil {
		return nil, err
	}
	records, _, err := decodeFrames(content)
	if err != nil || len(records) != 1 {
		return nil, fmt.Errorf("read exit record of %s: %w", f.Attempt, errors.Join(ErrDamaged, err))
	}
	result := new(agentrpc.Result)
	if err := proto.Unmarshal(records[0].Result, result); err != nil {
		return nil, fmt.Errorf("read exit record of %s: %w: %w", f.Attempt, ErrDamaged, err)
	}
	return result, nil
}

// cancel tells the shim, whether it has started yet or not, to end the job.
func (f Folder) cancel(grace time.Duration) error {
	text, err := json.Marshal(grace.Milliseconds())
	if err != nil {
		return err
	}
	return writeFile(f.Path, fileCancel, text)
}

// canceled reads what cancel wrote.
func (f Folder) canceled() (grace time.Duration, ok bool) {
	text, err := readOptional(filepath.Join(f.Path, fileCancel))
	if err != nil || text == nil {
		return 0, false
	}
	var ms int64
	if json.Unmarshal(text, &ms) != nil || ms < 0 {
		return proc.DefaultGrace, true
	}
	return time.Duration(ms) * time.Millisecond, true
}

// logLength is the size of the log, 0 when there is none.
func (f Folder) logLength() int64 {
	info, err := os.Stat(filepath.Join(f.Path, fileLog))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (f Folder) exists() bool {
	info, err := os.Stat(f.Path)
	return err == nil && info.IsDir()
}

// remove deletes the folder and all the job left in it.
func (f Folder) remove() error { return patiently(func() error { return os.RemoveAll(f.Path) }) }

// groupName is the name of the cgroup that an attempt's scripts run in. It comes
// from the whole path: two agents on one machine may have attempts of one name,
// and must not end each other's.
func groupName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:16])
}
