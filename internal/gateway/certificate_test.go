package gateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// certificate is an identity whose certificate says these things about itself.
func certificate(t *testing.T, from, until time.Time, use x509.ExtKeyUsage) *agentrpc.Identity {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"}, NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(filepath.Join(dir, "identity.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := agentrpc.LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// said passes on each reason that an agent logs for having no link.
type said chan string

func (s said) Write(line []byte) (int, error) {
	select {
	case s <- string(line):
	default:
	}
	return len(line), nil
}

// polls keeps the real back-off and link of an agent running and returns what it
// logs.
func (r *rig) polls(a *fakeAgent) said {
	r.t.Helper()
	says := make(said, 100)
	ctx, cancel := context.WithCancelCause(context.Background())
	poller := &agentrpc.Poller{
		Addresses: []string{r.g.Addr().String()}, TLS: agentrpc.ClientTLS(a.id, agentrpc.Pinned(r.id.Thumbprint())),
		Handler: agentrpc.NewHandler(a), Random: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(says, nil)),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = poller.Run(ctx)
	}()
	r.t.Cleanup(func() { cancel(nil); <-done })
	return says
}

// told waits until the agent's log has the text.
func (r *rig) told(says said, text string) {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-says:
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			r.t.Fatalf("the agent is never told: %s", text)
		}
	}
}

// abuse 3: what a certificate says about itself, that it has expired, is not
// valid yet or is for something else, opens no link and closes none: the pinned
// key does. Who is not pinned is told so, which is another thing than a server
// that cannot be reached.
func TestCertificatesThatAreNotPinned(t *testing.T) {
	t.Parallel()
	now, day := time.Now(), 24*time.Hour
	for name, issue := range map[string]func(t *testing.T) *agentrpc.Identity{
		"expired": func(t *testing.T) *agentrpc.Identity {
			t.Helper()
			return certificate(t, now.Add(-2*day), now.Add(-day), x509.ExtKeyUsageClientAuth)
		},
		"not valid yet": func(t *testing.T) *agentrpc.Identity {
			t.Helper()
			return certificate(t, now.Add(day), now.Add(2*day), x509.ExtKeyUsageClientAuth)
		},
		"for mail": func(t *testing.T) *agentrpc.Identity {
			t.Helper()
			return certificate(t, now.Add(-day), now.Add(day), x509.ExtKeyUsageEmailProtection)
		},
		"as it ought to be": func(t *testing.T) *agentrpc.Identity {
			t.Helper()
			return certificate(t, now.Add(-day), now.Add(day), x509.ExtKeyUsageClientAuth)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			pinned, stranger := newAgent(t, "sub-1"), newAgent(t, "sub-1")
			pinned.id, stranger.id = issue(t), issue(t)
			machine := r.machine("web-1", pinned)
			r.start()
			r.told(r.polls(stranger), agentrpc.ErrRefused.Error())
			if state := r.session(machine).State; state != "" {
				t.Errorf("the stranger's link made a session: %s", state)
			}
			r.polls(pinned)
			r.online(machine)
		})
	}
}

// abuse 3: an agent whose pin is revoked loses its link, gets no other, and is
// told why.
func TestRevokedPin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := newAgent(t, "sub-1")
	machine := r.machine("web-1", a)
	r.start()
	says := r.polls(a)
	r.online(machine)
	successor := newAgent(t, "sub-1")
	r.write(func(tx *store.Tx) error {
		m, err := store.Get[resource.Machine](tx, machine)
		if err != nil {
			return err
		}
		m.Endpoint.Thumbprint = successor.id.Thumbprint()
		return store.Update(tx, m)
	})
	r.told(says, agentrpc.ErrRefused.Error())
	r.polls(successor)
	r.online(machine)
}
