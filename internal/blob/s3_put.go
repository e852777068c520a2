package blob

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what S3 calls Content-MD5 and ETag, not a proof
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/resource"
)

const (
	// inMemory is the size up to which an upload needs no scratch file.
	inMemory = 1 << 20
	// partsAtOnce is how many parts of one upload travel at the same time.
	partsAtOnce = 4
	// mostParts is S3's own limit.
	mostParts = 10_000
)

// Put takes the bytes in first, because their digest is the object's name and
// because a request may have to be sent again: in memory while they are few, in
// a scratch file otherwise. Bytes that are there are not sent again; an object
// that differs is replaced as a whole.
func (s *S3) Put(ctx context.Context, r io.Reader, limit int64) (Ref, error) {
	t := &taken{s: s}
	defer t.drop()
	ref, err := copyHashed(ctx, t, r, limit)
	if err != nil {
		return Ref{}, err
	}
	parts, err := s.parts(t.content(), ref.Size)
	if err != nil {
		return Ref{}, fmt.Errorf("store blob %s: %w", ref.SHA256, err)
	}
	head, err := s.head(ctx, ref.SHA256)
	fail.Point(fail.BlobUpload)
	switch {
	case err == nil && aws.ToInt64(head.ContentLength) == ref.Size && strings.Trim(aws.ToString(head.ETag), `"`) == etag(parts):
		return ref, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return Ref{}, err
	case len(parts) == 1:
		err = s.putWhole(ctx, ref.SHA256, parts[0])
	default:
		err = s.putParts(ctx, ref.SHA256, parts)
	}
	fail.Point(fail.BlobUploaded)
	if err != nil {
		return Ref{}, err
	}
	return ref, nil
}

// taken is what Put has taken in so far.
type taken struct {
	s    *S3
	few  bytes.Buffer
	file *os.File
	name string
}

func (t *taken) Write(p []byte) (n int, err error) {
	if t.file == nil && t.few.Len()+len(p) <= inMemory {
		return t.few.Write(p)
	}
	if t.file == nil {
		t.name = path.Join(incoming, strconv.FormatInt(t.s.next.Add(1), 10))
		if t.file, err = t.s.scratch.OpenFile(t.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return 0, err
		}
		if _, err := t.file.Write(t.few.Bytes()); err != nil {
			return 0, err
		}
		t.few = bytes.Buffer{}
	}
	return t.file.Write(p)
}

func (t *taken) content() io.ReaderAt {
	if t.file != nil {
		return t.file
	}
	return bytes.NewReader(t.few.Bytes())
}

func (t *taken) drop() {
	if t.file != nil {
		_ = t.file.Close()
		_ = t.s.scratch.Remove(t.name) // the next start sweeps what stays
	}
}

// part is a piece of an upload and its MD5, with which the storage proves that
// it has got the same bytes.
type part struct {
	content io.ReaderAt
	at, n   int64
	sum     [md5.Size]byte
}

func (p *part) body() io.ReadSeeker { return io.NewSectionReader(p.content, p.at, p.n) }

func (p *part) md5() *string { return aws.String(base64.StdEncoding.EncodeToString(p.sum[:])) }

// parts cuts the content; even an empty one is one part.
func (s *S3) parts(content io.ReaderAt, size int64) ([]part, error) {
	each := max(s.part, (size+mostParts-1)/mostParts)
	var list []part
	for at := int64(0); at < size || at == 0; at += each {
		p := part{content: content, at: at, n: min(each, size-at)}
		sum := md5.New() //nolint:gosec // see the import
		if _, err := io.Copy(sum, p.body()); err != nil {
			return nil, err
		}
		sum.Sum(p.sum[:0])
		list = append(list, p)
	}
	return list, nil
}

// etag is what S3 calls the object of these parts, where it is not encrypted
// with a key of the customer's.
func etag(parts []part) string {
	if len(parts) == 1 {
		return hex.EncodeToString(parts[0].sum[:])
	}
	sum := md5.New() //nolint:gosec // see the import
	for i := range parts {
		sum.Write(parts[i].sum[:])
	}
	return hex.EncodeToString(sum.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

func (s *S3) putWhole(ctx context.Context, key string, p part) error {
	ctx, cancel := context.WithTimeoutCause(ctx, partLimit, errors.New("the storage did not take the bytes in time"))
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: s.bucket(), Key: s.key(key), Body: p.body(), ContentLength: aws.Int64(p.n), ContentMD5: p.md5(),
		ContentType: aws.String("application/octet-stream"),
	})
	return s.explain("store blob "+key, err)
}

// putParts uploads in parts; the object appears when the last step, the
// completion, has succeeded.
func (s *S3) putParts(ctx context.Context, key string, parts []part) (err error) {
	begun, err := s.begin(ctx, key)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort(context.WithoutCancel(ctx), aws.ToString(s.key(key)), begun))
		}
	}()
	sent := make([]types.CompletedPart, len(parts))
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range parts {
		group.Go(func() (err error) {
			sent[i], err = s.send(each, key, begun, i+1, parts[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, partLimit, errors.New("the storage did not put the parts together in time"))
	defer cancel()
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: s.bucket(), Key: s.key(key), UploadId: begun, MultipartUpload: &types.CompletedMultipartUpload{Parts: sent},
	})
	return s.explain("store blob "+key, err)
}

func (s *S3) begin(ctx context.Context, key string) (*string, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	begun, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket(), Key: s.key(key), ContentType: aws.String("application/octet-stream"),
	})
	if err != nil {
		return nil, s.explain("store blob "+key, err)
	}
	return begun.UploadId, nil
}

func (s *S3) send(ctx context.Context, key string, upload *string, number int, p part) (types.CompletedPart, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, partLimit, errors.New("the storage did not take the bytes in time"))
	defer cancel()
	n := aws.Int32(int32(number))
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: s.bucket(), Key: s.key(key), UploadId: upload, PartNumber: n,
		Body: p.body(), ContentLength: aws.Int64(p.n), ContentMD5: p.md5(),
	})
	if err != nil {
		return types.CompletedPart{}, s.explain("store blob "+key, err)
	}
	return types.CompletedPart{PartNumber: n, ETag: out.ETag}, nil
}

func (s *S3) abort(ctx context.Context, key string, upload *string) error {
	ctx, cancel := asking(ctx)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket(), Key: aws.String(key), UploadId: upload})
	if err = s.explain("end the upload of "+key, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// endUnfinished frees what uploads hold whose node died: nobody sees it, and it
// is paid for. A storage that cannot list uploads, or does not let us, keeps
// them to its own rules.
func (s *S3) endUnfinished(ctx context.Context, now time.Time) error {
	short, cancel := asking(ctx)
	defer cancel()
	prefix := *s.key("") + "/"
	list, err := s.client.ListMultipartUploads(short, &s3.ListMultipartUploadsInput{Bucket: s.bucket(), Prefix: aws.String(prefix)})
	switch err = s.explain("list unfinished uploads", err); {
	case errors.Is(err, ErrNotFound), resource.CodeOf(err) == resource.PreconditionFailed:
		return nil
	case err != nil:
		return err
	}
	for _, u := range list.Uploads {
		if key := aws.ToString(u.Key); strings.HasPrefix(key, prefix) && now.Sub(aws.ToTime(u.Initiated)) > unfinishedAfter {
			if err := s.abort(ctx, key, u.UploadId); err != nil {
				return err
			}
		}
	}
	return nil
}
