package agentrpc

import "fmt"

// The versions of the protocol between server and agent. A version is what both
// sides understand; every message of a version can be read by every other one,
// because fields are added and never changed or taken away (a test compares with
// the first version). So a version says what may be relied upon:
//
//	1  the first
//	2  Result.restarted
//
// Both say what they speak in Describe. Whoever makes something that an older
// peer would get wrong, and not only overlook, raises OldestVersion: the server
// gives no work to agents that it shares no version with, and people are told
// which of the two to upgrade.
const (
	NewestVersion = 2
	OldestVersion = 1
)

// Speaks is the range of versions that one side speaks. On the wire a 0 is the
// first version, which did not say.
type Speaks struct{ Newest, Oldest int32 }

// Ours is what this build speaks.
func Ours() Speaks { return Speaks{Newest: NewestVersion, Oldest: OldestVersion} }

func (s Speaks) whole() Speaks { return Speaks{Newest: max(s.Newest, 1), Oldest: max(s.Oldest, 1)} }

func (s Speaks) String() string {
	s = s.whole()
	if s.Newest == s.Oldest {
		return fmt.Sprintf("version %d", s.Newest)
	}
	return fmt.Sprintf("versions %d to %d", s.Oldest, s.Newest)
}

// Agree gives the newest version that both speak (fault 45).
func (s Speaks) Agree(other Speaks) (version int32, ok bool) {
	s, other = s.whole(), other.whole()
	version = min(s.Newest, other.Newest)
	return version, version >= max(s.Oldest, other.Oldest)
}
