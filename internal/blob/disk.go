package blob

import (
	"context"
	"crypto/sha1" //nolint:gosec // a checksum that the wire contract asks for, not a proof
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync/atomic"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/resource"
)

const incoming = "incoming"

// Disk is a Store in one folder: sha256[:2]/sha256, and "incoming" for what is
// still being written. One process at a time may have it open.
type Disk struct {
	root *os.Root
	next atomic.Int64
}

var _ Store = (*Disk)(nil)

// OpenDisk opens the store in dir, which it makes (0700) when it is not there,
// and removes what an earlier process left half-written.
func OpenDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	if err := errors.Join(root.RemoveAll(incoming), root.Mkdir(incoming, 0o700)); err != nil {
		return nil, errors.Join(fmt.Errorf("sweep blob store %s: %w", dir, err), root.Close())
	}
	return &Disk{root: root}, nil
}

// Close releases the folder; open Readers stay usable.
func (d *Disk) Close() error { return d.root.Close() }

// Put writes to a file in "incoming", fsyncs, renames, and fsyncs the folder.
func (d *Disk) Put(ctx context.Context, r io.Reader, limit int64) (ref Ref, err error) {
	temp := path.Join(incoming, strconv.FormatInt(d.next.Add(1), 10))
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Ref{}, fmt.Errorf("store blob: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // the first error counts
			_ = d.root.Remove(temp)
		}
	}()
	if ref, err = copyHashed(ctx, f, r, limit); err != nil {
		return Ref{}, err
	}
	if err = f.Sync(); err != nil {
		return Ref{}, fmt.Errorf("store blob: %w", err)
	}
	if err = f.Close(); err != nil {
		return Ref{}, fmt.Errorf("store blob: %w", err)
	}
	if err = d.publish(temp, ref.SHA256); err != nil {
		return Ref{}, fmt.Errorf("store blob %s: %w", ref.SHA256, err)
	}
	return ref, nil
}

func copyHashed(ctx context.Context, w io.Writer, r io.Reader, limit int64) (Ref, error) {
	long, short := sha256.New(), sha1.New() //nolint:gosec // see the import
	in := io.LimitReader(&cancelReader{ctx, r}, limit+1)
	n, err := io.CopyBuffer(io.MultiWriter(w, long, short), in, make([]byte, 1<<17))
	switch {
	case n > limit:
		return Ref{}, resource.Errorf(resource.TooLarge, "The upload is larger than the limit of %d bytes; make it smaller or have the limit raised.", limit)
	case err != nil:
		return Ref{}, fmt.Errorf("store blob: %w", err)
	}
	return Ref{SHA256: hex.EncodeToString(long.Sum(nil)), SHA1: hex.EncodeToString(short.Sum(nil)), Size: n}, nil
}

type cancelReader struct {
	ctx context.Context //nolint:containedctx // lives for one call of Put
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func (d *Disk) publish(temp, key string) error {
	dir := key[:2]
	if err := d.root.Mkdir(dir, 0o700); err == nil {
		if err := d.syncFolder("."); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	fail.Point(fail.BlobWritten)
	if err := d.root.Rename(temp, path.Join(dir, key)); err != nil {
		return err
	}
	fail.Point(fail.BlobRenamed)
	return d.syncFolder(dir)
}

func (d *Disk) syncFolder(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	err = syncDir(f)
	return errors.Join(err, f.Close())
}

// Open opens the blob for reading.
func (d *Disk) Open(_ context.Context, key string) (Reader, error) {
	if !validKey(key) {
		return nil, ErrNotFound
	}
	f, err := d.root.Open(path.Join(key[:2], key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", key, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open blob %s: %w", key, err), f.Close())
	}
	return &diskReader{f, info.Size()}, nil
}

type diskReader struct {
	*os.File
	size int64
}

func (r *diskReader) Size() int64 { return r.size }

// Has looks for the blob's file.
func (d *Disk) Has(_ context.Context, key string) (bool, error) {
	if !validKey(key) {
		return false, nil
	}
	_, err := d.root.Stat(path.Join(key[:2], key))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find blob %s: %w", key, err)
	}
	return true, nil
}

// Delete removes the blob's file.
func (d *Disk) Delete(_ context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	if err := d.root.Remove(path.Join(key[:2], key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}
	return nil
}

// Each walks the folder.
func (d *Disk) Each(ctx context.Context, visit func(Entry) error) error {
	return fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("list blobs: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case e.IsDir() || !validKey(e.Name()):
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		return visit(Entry{SHA256: e.Name(), Size: info.Size(), Stored: info.ModTime()})
	})
}
