package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A finished log as a blob: a line that makes it unlike any other blob, then
// blocks of logBlock bytes, the last one shorter, each compressed by itself;
// then the compressed sizes as 32 bits each, the length of the log as 64 bits,
// and logMagic. Any part is read with its end and the blocks it lies in.
const (
	logMagic = "SLIPLOG1"
	logBlock = 256 << 10
	// logTail is read first: the end of logs up to 2 GiB.
	logTail = 32 << 10
	// mostLogBlocks is where a blob is not believed any more.
	mostLogBlocks = 1 << 20
)

var errLogBlob = errors.New("the blob is damaged: it is no finished log")

// logPacker makes the blob of a log as it is read.
type logPacker struct {
	length int64
	from   func(at int64, n int) ([]byte, error) // the log's bytes
	encode *zstd.Encoder
	ready  []byte
	next   int64
	sizes  []byte
	ended  bool
}

func newLogPacker(attempt string, length int64, from func(at int64, n int) ([]byte, error)) (*logPacker, error) {
	encode, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	first := "slipway log " + attempt + " " + rand.Text() + "\n"
	sizes := binary.BigEndian.AppendUint32(nil, uint32(len(first)))
	return &logPacker{length: length, from: from, encode: encode, ready: []byte(first), sizes: sizes}, nil
}

func (p *logPacker) Read(b []byte) (int, error) {
	if len(p.ready) == 0 {
		if err := p.refill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.ready)
	p.ready = p.ready[n:]
	return n, nil
}

func (p *logPacker) refill() error {
	if p.ended {
		return io.EOF
	}
	if p.next == p.length {
		p.ended = true
		p.ready = append(binary.BigEndian.AppendUint64(p.sizes, uint64(p.length)), logMagic...)
		return nil
	}
	n := min(logBlock, p.length-p.next)
	data, err := p.from(p.next, int(n))
	if err != nil {
		return err
	}
	if int64(len(data)) != n {
		return fmt.Errorf("%d of %d bytes at %d: %w", len(data), n, p.next, io.ErrUnexpectedEOF)
	}
	p.next += n
	p.ready = p.encode.EncodeAll(data, nil)
	p.sizes = binary.BigEndian.AppendUint32(p.sizes, uint32(len(p.ready)))
	return nil
}

// logIndex says where the blocks of a blob lie.
type logIndex struct {
	length int64
	at     []int64 // where block i begins, and after the last where it ends
}

func readLogIndex(r io.ReaderAt, size int64) (*logIndex, error) {
	tail, err := readTail(r, size, logTail)
	if err != nil {
		return nil, err
	}
	const fixed = 8 + len(logMagic)
	if len(tail) < fixed || string(tail[len(tail)-len(logMagic):]) != logMagic {
		return nil, errLogBlob
	}
	length := binary.BigEndian.Uint64(tail[len(tail)-fixed:])
	blocks := (length + logBlock - 1) / logBlock
	if blocks > mostLogBlocks {
		return nil, errLogBlob
	}
	need := 4*(int64(blocks)+1) + int64(fixed)
	if need > int64(len(tail)) {
		if tail, err = readTail(r, size, need); err != nil {
			return nil, err
		}
	}
	if need > int64(len(tail)) {
		return nil, errLogBlob
	}
	sizes := tail[int64(len(tail))-need : len(tail)-fixed]
	index := &logIndex{length: int64(length)}
	for at := int64(0); len(sizes) > 0; sizes = sizes[4:] {
		at += int64(binary.BigEndian.Uint32(sizes))
		index.at = append(index.at, at)
	}
	if index.at[len(index.at)-1]+need != size {
		return nil, errLogBlob
	}
	return index, nil
}

func readTail(r io.ReaderAt, size, n int64) ([]byte, error) {
	tail := make([]byte, min(size, n))
	_, err := r.ReadAt(tail, size-int64(len(tail)))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return tail, err
}

// read returns n bytes of the log from an offset, or up to its end.
func (x *logIndex) read(r io.ReaderAt, from, n int64) ([]byte, error) {
	n = min(n, x.length-from)
	if from < 0 || n <= 0 {
		return nil, nil
	}
	first, last := from/logBlock, (from+n-1)/logBlock
	packed := make([]byte, x.at[last+1]-x.at[first])
	if _, err := r.ReadAt(packed, x.at[first]); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	decode, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*logBlock))
	if err != nil {
		return nil, err
	}
	defer decode.Close()
	var plain bytes.Buffer
	for i := first; i <= last; i++ {
		block, err := decode.DecodeAll(packed[x.at[i]-x.at[first]:x.at[i+1]-x.at[first]], nil)
		if err != nil || int64(len(block)) != min(logBlock, x.length-i*logBlock) {
			return nil, errors.Join(errLogBlob, err)
		}
		plain.Write(block)
	}
	return plain.Bytes()[from-first*logBlock:][:n], nil
}

// readBlob returns n bytes of the finished log in a blob.
func (l *Logs) readBlob(ctx context.Context, key string, from, n int64) ([]byte, error) {
	if l.archive == nil {
		return nil, errors.New("finished logs are in a blob store, which is not open")
	}
	blob, err := l.archive.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	index, err := readLogIndex(blob, blob.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", key, err), blob.Close())
	}
	data, err := index.read(blob, from, n)
	return data, errors.Join(err, blob.Close())
}
