package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/slipwayhq/slipway/internal/resource"
)

const (
	// askLimit bounds one small request, its retries included.
	askLimit = 30 * time.Second
	// stallLimit is how long a transfer may stand still before it is begun
	// again where it stopped.
	stallLimit = 30 * time.Second
	// partLimit bounds the upload of one part, its retries included: 16 MiB in
	// five minutes is 55 kB/s.
	partLimit = 5 * time.Minute
	// tries is how often one request is sent, with growing, jittered pauses.
	tries      = 5
	pauseLimit = 5 * time.Second
	// unfinishedAfter is the age at which an upload that nobody completed is
	// taken for one whose node died.
	unfinishedAfter = 24 * time.Hour
	// objects is where blobs lie below the prefix.
	objects = "sha256"
)

// S3Address says where blobs lie on S3-compatible storage.
type S3Address struct {
	Bucket, Prefix string
	Region         string // empty: what the SDK's own settings say
	Endpoint       string // empty: AWS
}

// ParseS3 reads s3://bucket/prefix?region=…&endpoint=…. Credentials never stand
// in it: they come from where every AWS program takes them.
func ParseS3(address string) (S3Address, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.Port() != "" {
		return S3Address{}, resource.Errorf(resource.Invalid, "The address of the blobs is not understood. Write it like s3://bucket/prefix?region=eu-west-1, or with &endpoint=https://host for other S3-compatible storage.")
	}
	if u.User != nil {
		return S3Address{}, resource.Errorf(resource.Invalid, "Credentials do not belong into the address of the blobs, where process lists show them. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a profile or the machine's role.")
	}
	a := S3Address{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	for name, values := range u.Query() {
		switch name {
		case "region":
			a.Region = values[0]
		case "endpoint":
			a.Endpoint = values[0]
		default:
			return S3Address{}, resource.Errorf(resource.Invalid, "'%s' in the address of the blobs is not understood. It takes region and endpoint.", name)
		}
	}
	if e, err := url.Parse(a.Endpoint); a.Endpoint != "" && (err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Host == "") {
		return S3Address{}, resource.Errorf(resource.Invalid, "The endpoint '%s' is not understood. Write it like https://storage.example.com.", a.Endpoint)
	}
	return a, nil
}

func (a S3Address) String() string { return "s3://" + path.Join(a.Bucket, a.Prefix) }

// S3 is a Store on S3-compatible storage, which any number of nodes may have
// open at once. Each blob is one object, whole or not there. Locally it keeps
// only what is being uploaded.
type S3 struct {
	client  *s3.Client
	address S3Address
	scratch *os.Root
	next    atomic.Int64
	part    int64 // bytes of an upload's part
	block   int64 // bytes that a Reader fetches at once when it is read here and there
}

var _ Store = (*S3)(nil)

// OpenS3 opens the store, tries whether it can be written and read, and ends
// uploads that a node which died by now left unfinished. scratch is a folder of this
// node's own; what is in it goes.
func OpenS3(ctx context.Context, a S3Address, scratch string, now func() time.Time) (*S3, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(storageClient()),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = tries, pauseLimit })
		}),
		// Each upload carries the digest of its bytes, which every storage checks;
		// the SDK's own trailing checksums are refused by many.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if a.Region != "" {
		options = append(options, config.WithRegion(a.Region))
	}
	conf, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read the settings for %s: %w", a, err)
	}
	if conf.Region == "" && a.Endpoint == "" {
		return nil, resource.Errorf(resource.Invalid, "The region of %s is not known. Write it like s3://bucket/prefix?region=eu-west-1, or set AWS_REGION.", a)
	}
	if err := credentialed(ctx, conf, a); err != nil {
		return nil, err
	}
	s := &S3{address: a, part: 16 << 20, block: 1 << 20}
	s.client = s3.NewFromConfig(conf, func(o *s3.Options) {
		if a.Endpoint != "" {
			o.BaseEndpoint = aws.String(a.Endpoint)
			o.UsePathStyle = true
		}
		if o.Region == "" {
			o.Region = "us-east-1" // which storage other than AWS calls itself
		}
	})
	if err := s.openScratch(scratch); err != nil {
		return nil, err
	}
	if err := errors.Join(s.check(ctx), s.endUnfinished(ctx, now())); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// credentialed says what to do where the SDK finds no credentials.
func credentialed(ctx context.Context, conf aws.Config, a S3Address) error {
	ctx, cancel := asking(ctx)
	defer cancel()
	if _, err := conf.Credentials.Retrieve(ctx); err != nil {
		return &resource.Error{
			Code: resource.PreconditionFailed, Err: err,
			Message: "There are no credentials for " + a.String() + ". Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with AWS_PROFILE, or give this machine a role.",
		}
	}
	return nil
}

// storageClient is patient with transfers and not with silence. The SDK adds the
// certificates of AWS_CA_BUNDLE to it.
func storageClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout, d.KeepAlive = 5*time.Second, 15*time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = time.Minute
			t.MaxIdleConnsPerHost = 32
		})
}

func (s *S3) openScratch(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open blob store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open blob store: %w", err)
	}
	if err := errors.Join(root.RemoveAll(incoming), root.Mkdir(incoming, 0o700)); err != nil {
		return errors.Join(fmt.Errorf("sweep %s: %w", dir, err), root.Close())
	}
	s.scratch = root
	return nil
}

// check fails at the start where it would fail later: no such bucket, no
// permission, nobody at the endpoint. It leaves nothing behind.
func (s *S3) check(ctx context.Context) error {
	ctx, cancel := asking(ctx)
	defer cancel()
	key := aws.String(path.Join(s.address.Prefix, "check-"+rand.Text()))
	if _, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: s.bucket(), Key: key, Body: strings.NewReader("slipway")}); err != nil {
		return s.explain("try to store", err)
	}
	got, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket(), Key: key})
	if err != nil {
		return s.explain("try to read", err)
	}
	_ = got.Body.Close() // that it was given is enough
	if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: key}); err != nil {
		return s.explain("try to delete", err)
	}
	_, err = s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: aws.String(*s.key("") + "/"), MaxKeys: aws.Int32(1)})
	return s.explain("try to list", err)
}

// Close ends uploads' scratch space.
func (s *S3) Close() error { return s.scratch.Close() }

func (s *S3) key(sha256 string) *string {
	return aws.String(path.Join(s.address.Prefix, objects, sha256))
}

func (s *S3) bucket() *string { return aws.String(s.address.Bucket) }

// asking bounds a small request.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, askLimit, errors.New("the storage did not answer in time"))
}

// Has asks for the object's head.
func (s *S3) Has(ctx context.Context, key string) (bool, error) {
	if !validKey(key) {
		return false, nil
	}
	_, err := s.head(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// head describes the object; ErrNotFound when there is none.
func (s *S3) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket(), Key: s.key(key)})
	if err != nil {
		return nil, s.explain("find blob "+key, err)
	}
	return out, nil
}

// Delete removes the object.
func (s *S3) Delete(ctx context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: s.key(key)})
	if err = s.explain("delete blob "+key, err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Each lists the objects, page by page.
func (s *S3) Each(ctx context.Context, visit func(Entry) error) error {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: s.bucket(), Prefix: aws.String(*s.key("") + "/")})
	for pages.HasMorePages() {
		page, err := s.page(ctx, pages)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			name := path.Base(aws.ToString(o.Key))
			if !validKey(name) {
				continue
			}
			if err := visit(Entry{SHA256: name, Size: aws.ToInt64(o.Size), Stored: aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *S3) page(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	page, err := pages.NextPage(ctx)
	return page, s.explain("list blobs", err)
}
