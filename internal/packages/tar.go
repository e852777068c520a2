package packages

import (
	"archive/tar"
	"bufio"
	"compress/bzip2"
	"errors"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
)

func (w *walker) walkTar(src Source, compression string) error {
	var in io.Reader = bufio.NewReaderSize(io.NewSectionReader(src.Reader, 0, src.Size), 1<<16)
	switch compression {
	case "gzip":
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		defer unpacked.Close()
		in = unpacked
	case "bzip2":
		in = bzip2.NewReader(in)
	}
	in = w.meter.reader(in)
	w.sizes = map[string]int64{}
	archive := tar.NewReader(in)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return drainZeros(in)
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if err := w.tarEntry(h, archive); err != nil {
			return err
		}
	}
}

func (w *walker) tarEntry(h *tar.Header, body io.Reader) error {
	for key := range h.PAXRecords {
		if len(key) > 11 && key[:11] == "GNU.sparse." {
			return refused(h.Name, "is a sparse file")
		}
	}
	e := &entry{kind: file, mode: fs.FileMode(h.Mode) & 0o755, modified: h.ModTime, body: body}
	switch h.Typeflag {
	case tar.TypeReg:
		if err := w.offer(e, h.Name, false); err != nil {
			return err
		}
		w.sizes[e.name] = h.Size
		return nil
	case tar.TypeDir:
		e.kind, e.body = folder, nil
		return w.offer(e, h.Name, false)
	case tar.TypeSymlink:
		return w.offerLink(h.Name, h.Linkname, false)
	case tar.TypeLink:
		return w.tarHardLink(e, h)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return refused(h.Name, "is neither a file nor a folder")
	}
}

// tarHardLink makes a second copy of an earlier file of the same archive, as
// tar writes one for files with two names; any other target refuses the
// archive (abuse 44).
func (w *walker) tarHardLink(e *entry, h *tar.Header) error {
	target, reason := cleanName(h.Linkname, false)
	if reason != "" || w.names.kinds[target] != file {
		return refused(h.Name, "is a hard link to something that is not an earlier file of the package")
	}
	e.hardLink, e.body = target, nil
	if err := w.meter.add(w.sizes[target]); err != nil {
		return err
	}
	if err := w.offer(e, h.Name, false); err != nil {
		return err
	}
	w.sizes[e.name] = w.sizes[target]
	return nil
}

// drainZeros reads what follows the end of the archive, so that checksums are
// compared; another archive there would be read by some tools and not by
// others (abuse 48).
func drainZeros(r io.Reader) error {
	buf := make([]byte, 1<<15)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return errors.New("tar: data after the end of the archive")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
