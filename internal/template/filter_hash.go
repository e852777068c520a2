package template

import (
	"crypto/md5"  //nolint:gosec // a filter of the language, not a protection
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// hashFilter holds the digests, in lower-case hexadecimal.
func hashFilter(name string) filter {
	switch name {
	case "md5":
		return hashing(func(b []byte) []byte { d := md5.Sum(b); return d[:] }) //nolint:gosec // see above
	case "sha1":
		return hashing(func(b []byte) []byte { d := sha1.Sum(b); return d[:] }) //nolint:gosec // see above
	case "sha256":
		return hashing(func(b []byte) []byte { d := sha256.Sum256(b); return d[:] })
	case "sha384":
		return hashing(func(b []byte) []byte { d := sha512.Sum384(b); return d[:] })
	case "sha512":
		return hashing(func(b []byte) []byte { d := sha512.Sum512(b); return d[:] })
	}
	return nil
}

// hashing takes, in any order, how many bytes of the digest to keep and how the
// input is encoded.
func hashing(sum func([]byte) []byte) filter {
	return func(in string, has bool, options []string) (string, bool, error) {
		if !has || len(options) > 2 {
			return "", false, nil
		}
		keep, raw, sized, named := 0, []byte(in), false, false
		for _, o := range options {
			if n, err := strconv.ParseInt(o, 10, 32); err == nil && n > 0 && !sized {
				keep, sized = int(n), true
				continue
			}
			decoded, ok := hashInput(in, o)
			if !ok || named {
				return "", false, nil
			}
			raw, named = decoded, true
		}
		digest := sum(raw)
		if sized {
			digest = digest[:min(keep, len(digest))]
		}
		return hex.EncodeToString(digest), true, nil
	}
}

func hashInput(in, encoding string) ([]byte, bool) {
	if strings.EqualFold(encoding, "base64") {
		raw, err := base64.StdEncoding.DecodeString(in)
		return raw, err == nil
	}
	wide, ok := charset(encoding)
	return encode(in, wide), ok
}
