package packages

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"
)

func (w *walker) walkZip(src Source, nupkg bool) error {
	records, err := checkDirectory(src.Reader, src.Size, w.limits.Entries)
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(src.Reader, src.Size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	archive.RegisterDecompressor(zip.Deflate, flate.NewReader)
	if len(archive.File) != len(records) {
		return errZipShape
	}
	for i, f := range archive.File {
		if f.Name != records[i].name {
			return errZipShape
		}
		if err := w.zipEntry(f, nupkg); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) zipEntry(f *zip.File, nupkg bool) error {
	raw := f.Name
	if nupkg {
		raw = unescapePercent(raw)
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return refused(raw, "is compressed in a way other than deflate")
	}
	switch mode := f.Mode(); {
	case mode&fs.ModeSymlink != 0:
		target, err := w.zipLinkTarget(f)
		if err != nil {
			return err
		}
		return w.offerLink(raw, target, true)
	case mode.IsDir() || strings.HasSuffix(raw, `\`):
		if f.UncompressedSize64 != 0 {
			return refused(raw, "is a folder that has content")
		}
		return w.offer(&entry{kind: folder, mode: mode & 0o755, modified: f.Modified}, raw, true)
	case !mode.IsRegular():
		return refused(raw, "is neither a file nor a folder")
	default:
		return w.zipFile(f, raw, nupkg)
	}
}

func (w *walker) zipFile(f *zip.File, raw string, nupkg bool) error {
	body, err := f.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	e := &entry{kind: file, mode: f.Mode() & 0o755, modified: f.Modified, body: w.meter.reader(body)}
	if nupkg {
		e.nuspec, e.skip = nugetOwn(raw)
	}
	if err := w.offer(e, raw, true); err != nil {
		return err
	}
	// To the end, so that size and checksum are compared whatever the visitor read.
	_, err = io.Copy(io.Discard, e.body)
	return err
}

func (w *walker) zipLinkTarget(f *zip.File) (string, error) {
	body, err := f.Open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	target, err := io.ReadAll(io.LimitReader(w.meter.reader(body), maxNameBytes+1))
	if len(target) > maxNameBytes {
		return "", refused(f.Name, "is a link with a target longer than 1024 bytes")
	}
	return string(target), err
}

// nugetOwn tells the files that belong to the package format rather than to
// the software in it (configuration.md 5.2).
func nugetOwn(name string) (nuspec, skip bool) {
	lower := strings.ToLower(strings.ReplaceAll(name, `\`, "/"))
	if path.Ext(lower) == ".nuspec" {
		return !strings.Contains(lower, "/"), true
	}
	return false, strings.HasPrefix(lower, "_rels/") || strings.HasPrefix(lower, "package/services/metadata/") ||
		lower == "[content_types].xml" || strings.HasSuffix(lower, ".nupkg.sha512")
}
