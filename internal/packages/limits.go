package packages

import (
	"fmt"
	"io"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Limits bound what reading one archive may cost (abuse 47).
type Limits struct {
	Ratio   int64 // uncompressed bytes per byte of archive
	Bytes   int64 // uncompressed bytes
	Entries int   // files, folders and links
}

// DefaultLimits are ratio 200, 20 GiB and 200,000 entries. The ratio counts
// over the whole archive and only from 1 MiB on.
func DefaultLimits() Limits { return Limits{Ratio: 200, Bytes: 20 << 30, Entries: 200_000} }

const ratioFloor = 1 << 20

// meter counts uncompressed bytes against the limit as they stream by, so
// that headers cannot lie.
type meter struct{ used, max int64 }

func newMeter(l Limits, archiveSize int64) *meter {
	limit := l.Bytes
	if archiveSize <= limit/max(l.Ratio, 1) {
		limit = max(archiveSize*l.Ratio, min(ratioFloor, limit))
	}
	return &meter{max: limit}
}

func (m *meter) add(n int64) error {
	//guard:bomb abuse 47: a package unpacks to so much and no more; seen by ./internal/packages TestBombs
	if m.used += n; m.used > m.max || m.used < 0 {
		return tooMuch(fmt.Sprintf("unpacks to more than %d bytes", m.max))
	}
	return nil
}

func (m *meter) reader(r io.Reader) io.Reader { return &meteredReader{m, r} }

type meteredReader struct {
	m *meter
	r io.Reader
}

func (r *meteredReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err := r.m.add(int64(n)); err != nil {
		return 0, err
	}
	return n, err
}

func tooMuch(what string) error {
	return &resource.Error{
		Code: resource.TooLarge, Field: "file",
		Message: "The package was refused because it " + what + "; split it or pack it again.",
	}
}

func refused(entry, reason string) error {
	return &resource.Error{
		Code: resource.Invalid, Field: "file",
		Message: fmt.Sprintf("The package was refused because of its entry %s: it %s. Pack it again without that.", quoteShort(entry), reason),
	}
}

func damaged(err error) error {
	return &resource.Error{
		Code: resource.Invalid, Field: "file", Err: err,
		Message: "The package cannot be read as the archive its extension says; pack it again",
	}
}

func quoteShort(s string) string {
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return fmt.Sprintf("%q", s)
}
