package identity_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/resource"
)

func TestHasher(t *testing.T) {
	t.Parallel()
	cheap := identity.NewHasher(identity.Cost{MemoryKiB: 64, Passes: 1, Threads: 1})
	const password = "pässword with ünicode"
	phc, err := cheap.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(phc, password) {
		t.Errorf("hash %q", phc)
	}
	again, err := cheap.Hash(t.Context(), password)
	if err != nil || again == phc {
		t.Errorf("two hashes of one password are one: %v", err)
	}
	for _, c := range []struct {
		password, phc string
		want          bool
	}{
		{password, phc, true},
		{password + " ", phc, false},
		{strings.ToUpper(password), phc, false},
		{"", phc, false},
		{"nobody has this password", "", false}, // the decoy opens nothing
		{strings.Repeat("x", 1<<20), phc, false},
	} {
		if ok, err := cheap.Matches(t.Context(), c.password, c.phc); err != nil || ok != c.want {
			t.Errorf("%.20q: %v, %v", c.password, ok, err)
		}
	}
	if _, err := cheap.Matches(t.Context(), password, "$argon2i$v=19$m=64,t=1,p=1$AA$AA"); err == nil {
		t.Error("another algorithm was taken")
	}
	if cheap.Stale(phc) || !identity.NewHasher(identity.Cost{MemoryKiB: 128, Passes: 1, Threads: 1}).Stale(phc) {
		t.Error("a hash of another cost is made anew, one of the same is not")
	}
}

func TestHasherRefusesWhatIsNoPassword(t *testing.T) {
	t.Parallel()
	h := identity.NewHasher(identity.Cost{MemoryKiB: 64, Passes: 1, Threads: 1})
	for _, bad := range []string{"", "elevenchars", strings.Repeat("x", 129), "a password\x00 with NUL", "not text \xff\xfe\xfd"} {
		if _, err := h.Hash(t.Context(), bad); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
