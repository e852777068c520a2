package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Hasher makes and checks password hashes: argon2id, a few at a time, so that
// logging in never takes the server's memory (abuse 17).
type Hasher struct {
	cost  Cost
	turns chan struct{}
	decoy string
}

// Cost is what one hash takes.
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Threads   uint8
}

// DefaultCost is 64 MiB in three passes.
func DefaultCost() Cost { return Cost{MemoryKiB: 64 << 10, Passes: 3, Threads: 1} }

// Bounds of a password's length, in characters.
const (
	minPassword = 12
	maxPassword = 128
)

const (
	atOnce   = 2
	saltSize = 16
	hashSize = 32
)

// NewHasher makes a Hasher. Its decoy is the hash of no password: a check
// against it costs what any check does, while making one here would cost a
// server that nobody logs in to 64 MiB.
func NewHasher(cost Cost) *Hasher {
	h := &Hasher{cost: cost, turns: make(chan struct{}, atOnce)}
	h.decoy = h.phc(random(saltSize), random(hashSize))
	return h
}

func random(n int) []byte {
	raw := make([]byte, n)
	rand.Read(raw)
	return raw
}

// Hash is a password's hash in the PHC form. A password that is too short, too
// long or no text is refused.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	n := utf8.RuneCountInString(password)
	if n < minPassword || n > maxPassword || !utf8.ValidString(password) || strings.ContainsRune(password, 0) {
		return "", &resource.Error{Code: resource.Invalid, Field: "Password", Message: fmt.Sprintf("Please choose a password of %d to %d characters.", minPassword, maxPassword)}
	}
	if err := h.wait(ctx); err != nil {
		return "", err
	}
	defer h.done()
	return h.hash([]byte(password)), nil
}

// Matches says whether the password has the hash. Without a hash it takes just
// as long and says no.
func (h *Hasher) Matches(ctx context.Context, password, phc string) (bool, error) {
	if err := h.wait(ctx); err != nil {
		return false, err
	}
	defer h.done()
	known := phc != ""
	if !known {
		phc = h.decoy
	}
	cost, salt, sum, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	if len(password) > 4*maxPassword {
		password = ""
		known = false
	}
	got := argon2.IDKey([]byte(password), salt, cost.Passes, cost.MemoryKiB, cost.Threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1 && known, nil
}

// Stale says whether the hash was made at another cost and should be made anew.
func (h *Hasher) Stale(phc string) bool {
	cost, _, _, err := parsePHC(phc)
	return err != nil || cost != h.cost
}

func (h *Hasher) wait(ctx context.Context) error {
	select {
	case h.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *Hasher) done() { <-h.turns }

func (h *Hasher) hash(password []byte) string {
	salt := random(saltSize)
	return h.phc(salt, argon2.IDKey(password, salt, h.cost.Passes, h.cost.MemoryKiB, h.cost.Threads, hashSize))
}

func (h *Hasher) phc(salt, sum []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.MemoryKiB, h.cost.Passes, h.cost.Threads, encode(salt), encode(sum))
}

var errPHC = errors.New("not an argon2id hash")

func parsePHC(text string) (cost Cost, salt, sum []byte, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return cost, nil, nil, errPHC
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return cost, nil, nil, errPHC
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Passes, &cost.Threads); err != nil {
		return cost, nil, nil, errPHC
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(sum) != hashSize || cost.Passes == 0 || cost.Threads == 0 {
		return cost, nil, nil, errPHC
	}
	return cost, salt, sum, nil
}
