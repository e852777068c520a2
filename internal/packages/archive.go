package packages

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Source is an archive's bytes and its extension, which alone decides how
// they are read.
type Source struct {
	Reader io.ReaderAt
	Size   int64
	Ext    string // ".zip", ".nupkg", ".tar.gz", …, case-insensitive
}

// Extensions that can be read, and how.
var (
	zipExtensions = map[string]bool{".zip": true, ".nupkg": true, ".jar": true, ".war": true, ".ear": true, ".whl": true}
	tarExtensions = map[string]string{".tar": "", ".tar.gz": "gzip", ".tgz": "gzip", ".tar.bz2": "bzip2", ".tbz": "bzip2", ".tar.bz": "bzip2"}
)

// Supported says whether archives of this extension can be read.
func Supported(ext string) bool {
	ext = strings.ToLower(ext)
	_, isTar := tarExtensions[ext]
	return isTar || zipExtensions[ext]
}

// entry is one vetted member of an archive; name is clean and unique.
type entry struct {
	name     string
	kind     kind
	mode     fs.FileMode // permission bits only, & 0755
	modified time.Time
	hardLink string    // name of the earlier file it repeats
	nuspec   bool      // NuGet's own description, never extracted
	skip     bool      // NuGet's own files (configuration.md 5.2)
	body     io.Reader // of a file
}

// walker reads one archive; it carries what is shared by the formats.
type walker struct {
	limits     Limits
	meter      *meter
	names      *nameSet
	entries    int
	warnings   []string
	sizes      map[string]int64 // of a tar's files, which hard links may repeat
	unportable error            // the first entry that Windows could not hold
	visit      func(*entry) error
}

// walk reads the archive from front to end and calls visit for each entry
// that passed the checks; it refuses the archive at the first that does not.
func (w *walker) walk(src Source, limits Limits, visit func(*entry) error) error {
	w.limits, w.meter, w.names, w.visit = limits, newMeter(limits, src.Size), newNameSet(), visit
	ext := strings.ToLower(src.Ext)
	var err error
	switch compression, isTar := tarExtensions[ext]; {
	case isTar:
		err = w.walkTar(src, compression)
	case zipExtensions[ext]:
		err = w.walkZip(src, ext == ".nupkg")
	default:
		err = resource.Errorf(resource.Invalid, "Packages of type %s cannot be read; use .zip, .nupkg or .tar.gz.", quoteShort(src.Ext))
	}
	return classify(err)
}

// classify keeps errors made for people and the visitor's own, and says of
// the rest that the archive is damaged.
func classify(err error) error {
	var own *resource.Error
	var visitor *visitError
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.As(err, &visitor):
		return visitor.err
	default:
		return damaged(err)
	}
}

// visitError marks what is not the archive's fault, such as a full disk.
type visitError struct{ err error }

func (e *visitError) Error() string { return e.err.Error() }

// offer vets the entry's name and hands it on. raw is the name as stored.
func (w *walker) offer(e *entry, raw string, backslashes bool) error {
	if w.entries++; w.entries > w.limits.Entries {
		return tooMuch("has too many entries")
	}
	name, reason := cleanName(raw, backslashes)
	if reason != "" {
		return refused(raw, reason)
	}
	if name == "." {
		if e.kind != folder {
			return refused(raw, "has no name")
		}
		return nil
	}
	reason, unportable := w.names.add(name, e.kind)
	if reason != "" {
		return refused(raw, reason)
	}
	if unportable == "" {
		unportable = windowsProblem(name)
	}
	if unportable != "" && w.unportable == nil {
		w.unportable = refused(raw, unportable)
	}
	e.name = name
	return w.visit(e)
}

// offerLink checks a symbolic link, which is never created: one that leads
// out of the tree refuses the archive, any other is a warning (abuse 44).
func (w *walker) offerLink(raw, target string, backslashes bool) error {
	name, reason := cleanName(raw, backslashes)
	if reason != "" {
		return refused(raw, reason)
	}
	target = strings.ReplaceAll(target, `\`, "/")
	if pathIsOutside(path.Dir(name), target) {
		return refused(raw, "is a link that leads out of the package")
	}
	if len(w.warnings) < 100 {
		w.warnings = append(w.warnings, "The symbolic link "+quoteShort(name)+" is not created.")
	}
	return w.offer(&entry{kind: link, skip: true}, raw, backslashes)
}

func pathIsOutside(dir, target string) bool {
	if target == "" || strings.HasPrefix(target, "/") || len(target) > 1 && target[1] == ':' {
		return true
	}
	full := path.Join(dir, target)
	return full == ".." || strings.HasPrefix(full, "../")
}
