package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	// breaks is how often a Reader goes on after its transfer broke off, and
	// breakEvery how many bytes earn it one more.
	breaks     = 5
	breakEvery = 64 << 20
	// blocksKept bounds what one Reader remembers of what was read here and
	// there, blocksAhead what it fetches at once when it is read in order.
	blocksKept  = 16
	blocksAhead = 4
)

var errStalled = errors.New("the storage sent nothing for 30 s")

// Open asks for the object's head; bytes come when they are read. All of them
// come from that one version of the object (fault 43).
func (s *S3) Open(ctx context.Context, key string) (Reader, error) {
	if !validKey(key) {
		return nil, ErrNotFound
	}
	head, err := s.head(ctx, key)
	if err != nil {
		return nil, err
	}
	own, cancel := context.WithCancelCause(ctx)
	return &s3Reader{
		s: s, key: key, etag: head.ETag, size: aws.ToInt64(head.ContentLength), ctx: own, cancel: cancel,
		blocks: map[int64][]byte{}, allowed: breaks + aws.ToInt64(head.ContentLength)/breakEvery,
	}, nil
}

type s3Reader struct {
	s      *S3
	key    string
	etag   *string
	size   int64
	ctx    context.Context //nolint:containedctx // lives from Open to Close
	cancel context.CancelCauseFunc

	// Read and Seek
	at      int64
	body    *transfer // yields what comes at offset at; nil: none is open
	allowed int64     // how often it may still break off

	// ReadAt
	mu     sync.Mutex
	blocks map[int64][]byte
	order  []int64 // of the blocks, the oldest first
}

func (r *s3Reader) Size() int64 { return r.size }

func (r *s3Reader) Close() error {
	r.dropBody()
	r.cancel(io.ErrClosedPipe)
	return nil
}

func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in blob %s: before its start", r.key)
	}
	if offset != r.at {
		r.dropBody()
		r.at = offset
	}
	return offset, nil
}

// Read goes on where a transfer broke off or stood still (fault 43).
func (r *s3Reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.at >= r.size {
			return 0, io.EOF
		}
		if r.body == nil {
			if r.body, err = r.get(r.at, r.size); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.at)])
		r.at += int64(n)
		if err == nil {
			return n, nil
		}
		r.dropBody()
		if n > 0 {
			return n, nil
		}
		if r.allowed--; r.allowed < 0 || r.ctx.Err() != nil {
			return 0, r.s.explain("read blob "+r.key, err)
		}
	}
}

func (r *s3Reader) dropBody() {
	if r.body != nil {
		r.body.close()
		r.body = nil
	}
}

// ReadAt fetches whole blocks and keeps some: archives are read in many small
// pieces.
func (r *s3Reader) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, fmt.Errorf("read blob %s: before its start", r.key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		if at+int64(n) >= r.size {
			return n, io.EOF
		}
		block, err := r.blockAt((at + int64(n)) / r.s.block)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], block[(at+int64(n))%r.s.block:])
	}
	return n, nil
}

func (r *s3Reader) blockAt(i int64) ([]byte, error) {
	if block, ok := r.blocks[i]; ok {
		return block, nil
	}
	n := int64(1)
	if _, inOrder := r.blocks[i-1]; inOrder {
		n = blocksAhead
	}
	data, err := r.fetch(i*r.s.block, min((i+n)*r.s.block, r.size))
	if err != nil {
		return nil, err
	}
	first := data[:min(r.s.block, int64(len(data)))]
	for j := i; len(data) > 0; j++ {
		block := data[:min(r.s.block, int64(len(data)))]
		data = data[len(block):]
		if _, known := r.blocks[j]; !known {
			r.order = append(r.order, j)
		}
		r.blocks[j] = block
	}
	for len(r.order) > blocksKept {
		delete(r.blocks, r.order[0])
		r.order = r.order[1:]
	}
	return first, nil
}

// fetch reads the bytes from one offset to another.
func (r *s3Reader) fetch(from, to int64) ([]byte, error) {
	data := make([]byte, to-from)
	for got, left := int64(0), breaks; ; left-- {
		body, err := r.get(from+got, to)
		if err != nil {
			return nil, err
		}
		n, err := io.ReadFull(body, data[got:])
		body.close()
		got += int64(n)
		if err == nil {
			return data, nil
		}
		if left == 0 || r.ctx.Err() != nil {
			return nil, r.s.explain("read blob "+r.key, err)
		}
	}
}

// transfer is the body of one answer. It ends when nothing comes for too long.
type transfer struct {
	body   io.ReadCloser
	stall  *time.Timer
	cancel context.CancelCauseFunc
	ctx    context.Context //nolint:containedctx // of the one request
}

// get asks for the bytes from one offset to another, of the object as it was
// opened.
func (r *s3Reader) get(from, to int64) (*transfer, error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	stall := time.AfterFunc(2*stallLimit, func() { cancel(errStalled) })
	out, err := r.s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: r.s.bucket(), Key: r.s.key(r.key), IfMatch: r.etag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", from, to-1)),
	})
	stall.Stop()
	if err != nil {
		cancel(err)
		return nil, r.s.explain("read blob "+r.key, err)
	}
	t := &transfer{body: out.Body, stall: stall, cancel: cancel, ctx: ctx}
	if aws.ToInt64(out.ContentLength) != to-from {
		t.close()
		return nil, fmt.Errorf("read blob %s: the storage sends %d bytes where %d were asked for", r.key, aws.ToInt64(out.ContentLength), to-from)
	}
	return t, nil
}

func (t *transfer) Read(p []byte) (int, error) {
	t.stall.Reset(stallLimit)
	n, err := t.body.Read(p)
	t.stall.Stop()
	if err != nil && !errors.Is(err, io.EOF) && t.ctx.Err() != nil {
		err = context.Cause(t.ctx)
	}
	return n, err
}

func (t *transfer) close() {
	t.stall.Stop()
	t.cancel(io.ErrClosedPipe)
	_ = t.body.Close()
}
