package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"strings"
	"time"
)

// Manifest is what an archive says about itself.
type Manifest struct {
	Files    []File
	Bytes    int64    // of all files, unpacked
	Warnings []string // what will be left out, for people
	Nuspec   *Nuspec  // of a .nupkg
	// Unportable is why a machine that ignores case in file names or has
	// Windows' rules for them would refuse the package, nil when none would.
	Unportable error
}

// File is one regular file in an archive.
type File struct {
	Path   string // clean, relative, with slashes
	Size   int64
	SHA256 string // lower-case hex
}

// Nuspec is NuGet's description inside a .nupkg, which overrules the file
// name (configuration.md 5.3).
type Nuspec struct {
	ID           string `xml:"id"`
	Version      string `xml:"version"`
	Title        string `xml:"title"`
	Summary      string `xml:"summary"`
	Description  string `xml:"description"`
	ReleaseNotes string `xml:"releaseNotes"`
}

// Inspect reads a whole archive within DefaultLimits and writes nothing. An
// error that names the offending entry means that no agent would install it
// (abuse 43-48).
func Inspect(r io.ReaderAt, size int64, ext string) (Manifest, error) {
	return inspect(Source{Reader: r, Size: size, Ext: ext}, DefaultLimits())
}

func inspect(src Source, limits Limits) (Manifest, error) {
	var m Manifest
	known := map[string]File{}
	var w walker
	err := w.walk(src, limits, func(e *entry) error {
		switch {
		case e.nuspec:
			return m.readNuspec(e)
		case e.kind != file || e.skip:
			return nil
		}
		f := File{Path: e.name, Size: known[e.hardLink].Size, SHA256: known[e.hardLink].SHA256}
		if e.hardLink == "" {
			sum := sha256.New()
			n, err := io.Copy(sum, e.body)
			if err != nil {
				return err
			}
			f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
		}
		if _, isTar := tarExtensions[strings.ToLower(src.Ext)]; isTar {
			known[e.name] = f
		}
		m.Files = append(m.Files, f)
		m.Bytes += f.Size
		return nil
	})
	if err != nil {
		return Manifest{}, err
	}
	m.Warnings, m.Unportable = w.warnings, w.unportable
	return m, nil
}

const maxNuspec = 1 << 20

func (m *Manifest) readNuspec(e *entry) error {
	if m.Nuspec != nil {
		return refused(e.name, "is the second .nuspec file of the package")
	}
	raw, err := io.ReadAll(io.LimitReader(e.body, maxNuspec+1))
	if err != nil {
		return err
	}
	if len(raw) > maxNuspec {
		return refused(e.name, "is larger than 1 MiB")
	}
	var doc struct {
		Metadata Nuspec `xml:"metadata"`
	}
	if err := xml.Unmarshal(bytes.TrimPrefix(raw, []byte("\ufeff")), &doc); err != nil {
		return refused(e.name, "is not readable as XML in UTF-8")
	}
	m.Nuspec = &doc.Metadata
	m.Nuspec.ID, m.Nuspec.Version = strings.TrimSpace(doc.Metadata.ID), strings.TrimSpace(doc.Metadata.Version)
	return nil
}

// notInFuture keeps a file's time stamp only where it is one (configuration.md
// 5.2).
func notInFuture(modified, now time.Time) (time.Time, bool) {
	return modified, !modified.IsZero() && modified.Year() >= 1980 && !modified.After(now)
}
