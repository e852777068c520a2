package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// API keys are "API-" and 36 characters of A–Z and 0–9, of which the last six
// are a checksum of the thirty before (30 × log2 36 = 155 bits). Clients check
// only the alphabet (octopus-api.md 1.1).
const (
	apiKeyPrefix   = "API-"
	apiKeyLength   = 36
	apiKeyChecksum = 6
	// MinOperatorKey is the least length after the dash of a key that an operator
	// sets himself.
	MinOperatorKey = 26
	maxAPIKey      = 200
	alphabet       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// NewAPIKey makes an API key.
func NewAPIKey() string {
	body := Random(apiKeyLength - apiKeyChecksum)
	return apiKeyPrefix + body + checksum(body)
}

// Random is n characters of A–Z and 0–9, each equally likely.
func Random(n int) string {
	out := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(out) < n {
		rand.Read(buf)
		for _, b := range buf {
			if int(b) < 256/len(alphabet)*len(alphabet) && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func checksum(body string) string {
	sum := sha256.Sum256([]byte("slipway api key\x00" + body))
	out := make([]byte, apiKeyChecksum)
	for i := range out {
		out[i] = alphabet[int(sum[i])%len(alphabet)]
	}
	return string(out)
}

// CheckAPIKey says whether key can be one at all, so that a wrong one costs no
// look-up (abuse 23): the alphabet and length of a key an operator may set,
// and, for keys of the length that NewAPIKey makes, its checksum unless
// operator says that such keys were set by hand.
func CheckAPIKey(key string, operator bool) bool {
	body, ok := strings.CutPrefix(key, apiKeyPrefix)
	if !ok || len(body) < MinOperatorKey || len(key) > maxAPIKey {
		return false
	}
	for i := range len(body) {
		if strings.IndexByte(alphabet, body[i]) < 0 {
			return false
		}
	}
	made := len(body) == apiKeyLength && checksum(body[:apiKeyLength-apiKeyChecksum]) == body[apiKeyLength-apiKeyChecksum:]
	return made || operator
}

// Hash is what the store keeps of a key or a token: its SHA-256 in lower-case
// hex. Keys have enough bits of chance that no slower hash is needed.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Hint is the part of an API key that may be shown.
func Hint(key string) string {
	const shown = len(apiKeyPrefix) + 3
	if len(key) <= shown {
		return key
	}
	return key[:shown] + "..."
}

// NewToken makes a one-time token for the registration of an agent: "REG-" and
// 40 characters of A–Z and 0–9.
func NewToken() string { return "REG-" + Random(40) }
