package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/slipwayhq/slipway/internal/resource"
)

// explain says what the storage's answer means to an operator, and what to do.
// A missing object is ErrNotFound; nil stays nil.
func (s *S3) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	code, status := "", 0
	if known, ok := errors.AsType[smithy.APIError](err); ok {
		code = known.ErrorCode()
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	if message := s.advice(code, status); message != "" {
		return &resource.Error{Code: resource.PreconditionFailed, Message: message, Err: fmt.Errorf("%s: %w", what, err)}
	}
	switch {
	case code == "NoSuchKey", code == "NotFound", code == "NoSuchUpload", status == http.StatusNotFound:
		return fmt.Errorf("%s: %w", what, ErrNotFound)
	case status == http.StatusPreconditionFailed:
		return &resource.Error{Code: resource.Unavailable, Message: "The storage at " + s.address.String() + " changed a blob while it was read. Try again.", Err: fmt.Errorf("%s: %w", what, err)}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	}
	return &resource.Error{
		Code: resource.Unavailable, Err: fmt.Errorf("%s: %w", what, err),
		Message: "The storage at " + s.address.String() + " does not answer as it should. Check that it runs and can be reached from here" + s.endpoint() + ", then try again.",
	}
}

func (s *S3) endpoint() string {
	if s.address.Endpoint == "" {
		return ""
	}
	return " (" + s.address.Endpoint + ")"
}

// advice is what to do about an answer that trying again does not help.
func (s *S3) advice(code string, status int) string {
	at := s.address.String()
	switch {
	case code == "NoSuchBucket":
		return "There is no bucket '" + s.address.Bucket + "' at the storage" + s.endpoint() + ". Create it, or correct the address of the blobs."
	case code == "PermanentRedirect", code == "AuthorizationHeaderMalformed", code == "IllegalLocationConstraintException", status == http.StatusMovedPermanently:
		return "The bucket '" + s.address.Bucket + "' is in another region. Name its region in the address of the blobs: " + at + "?region=…"
	case code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch", code == "ExpiredToken", code == "InvalidToken", status == http.StatusUnauthorized:
		return "The storage does not accept the credentials for " + at + " (" + code + "). Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile or the machine's role."
	case code == "RequestTimeTooSkewed":
		return "The storage refuses requests for " + at + " because this machine's clock is wrong. Set it right."
	case status == http.StatusForbidden:
		return "The storage denies what Slipway has to do in " + at + ". Allow its credentials s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on the objects, and s3:ListBucket and s3:ListBucketMultipartUploads on the bucket."
	case code == "NotImplemented" || status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed:
		return "The storage at " + at + " cannot do what Slipway needs of S3 (" + code + ")."
	}
	return ""
}
