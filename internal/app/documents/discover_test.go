package documents_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

// service is the use cases with that way to ask agents.
func service(t *testing.T, probe func(ctx context.Context, host string, port int) (documents.Discovered, error)) *documents.Service {
	t.Helper()
	folder := t.TempDir()
	keys, err := secret.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: folder, Database: storetest.Database(t), Keys: keys, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	storetest.Seed(t, db)
	s, err := documents.New(documents.Config{DB: db, HashToken: secret.Hash, NewToken: secret.NewToken, Probe: probe})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func caller(p authz.Permission) app.Caller {
	return app.Caller{Subject: authz.Subject{UserID: "Users-2", Grants: []authz.Grant{{
		Space: resource.DefaultSpace, Permissions: authz.SetOf(p), Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Any(), Tenants: authz.Any(),
	}}}}
}

// abuse 79: only a bare name or address is dialled, and only for whom may add
// machines.
func TestDiscoverDialsBareHosts(t *testing.T) {
	t.Parallel()
	var dialled string
	s := service(t, func(_ context.Context, host string, _ int) (documents.Discovered, error) {
		dialled = host
		return documents.Discovered{Name: "web-01", URI: "https://web-01:10933/", Thumbprint: "AB"}, nil
	})
	adder := caller(authz.MachineCreate)
	for host, want := range map[string]string{
		"web-01": "web-01", "web_01.example.com.": "web_01.example.com.", " 10.1.2.3 ": "10.1.2.3", "::1": "::1", "[2001:db8::1]": "2001:db8::1",
		"::ffff:10.0.0.1": "10.0.0.1", "LOCALHOST": "LOCALHOST", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"": "", "http://web-01": "", "web-01/": "", "web-01:80": "", "user@web-01": "", "web 01": "", "web-01#x": "", "web-01?x": "", "..": "", "a..b": "",
		"-web": "", "web-": "", "0.0.0.0": "", "::": "", "224.0.0.1": "", "255.255.255.255": "", "ff02::1": "", "fe80::1%eth0": "", "[10.0.0.1]": "", "[web-01]": "", "[::1": "", "::1]": "",
		"127.1": "", "0x7f000001": "", "2130706433": "", "0177.0.0.1": "", "web\r\n01": "", "bücher.example": "", strings.Repeat("a.", 130) + "a": "", strings.Repeat("a", 64): "",
	} {
		dialled = ""
		m, err := s.Discover(t.Context(), adder, resource.DefaultSpace, host, 10933)
		if dialled != want || (want == "") != (resource.CodeOf(err) == resource.Invalid) {
			t.Errorf("%.40q: dialled %q, want %q; %v", host, dialled, want, err)
		}
		if want != "" && (m.Name != "web-01" || m.ID != "" || m.Thumbprint != "AB" || m.Endpoint.URI != "https://web-01:10933/") {
			t.Errorf("%q: %+v", host, m)
		}
	}
	for _, port := range []int{-1, 0, 65536} {
		if _, err := s.Discover(t.Context(), adder, resource.DefaultSpace, "web-01", port); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("port %d: %v", port, err)
		}
	}
	dialled = ""
	for _, who := range []app.Caller{{}, caller(authz.MachineView)} {
		if _, err := s.Discover(t.Context(), who, resource.DefaultSpace, "web-01", 10933); resource.CodeOf(err) != resource.Forbidden || dialled != "" {
			t.Errorf("somebody who may add no machine: %v, dialled %q", err, dialled)
		}
	}
	if _, err := s.Discover(t.Context(), adder, "Spaces-2", "web-01", 10933); resource.CodeOf(err) != resource.Forbidden || dialled != "" {
		t.Errorf("in a space that is not his: %v, dialled %q", err, dialled)
	}
}

// What an agent calls itself is its own word: a name that no machine could
// have is not taken over.
func TestDiscoverNames(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{"web-01": "web-01", "": "host", "a\x1b[31m": "host", strings.Repeat("x", 5000): "host"} {
		s := service(t, func(context.Context, string, int) (documents.Discovered, error) {
			return documents.Discovered{Name: said}, nil
		})
		if m, err := s.Discover(t.Context(), caller(authz.MachineCreate), resource.DefaultSpace, "host", 1); err != nil || m.Name != want {
			t.Errorf("%.20q: %v, %v", said, m, err)
		}
	}
}

// Only so many connections are open at once, whoever asks (abuse 79), and a
// failure gives its place back.
func TestDiscoverIsBounded(t *testing.T) {
	t.Parallel()
	began, end := make(chan struct{}), make(chan struct{})
	s := service(t, func(ctx context.Context, _ string, _ int) (documents.Discovered, error) {
		began <- struct{}{}
		<-end
		return documents.Discovered{}, errors.New("nobody there")
	})
	failed := make(chan error)
	look := func() {
		_, err := s.Discover(t.Context(), caller(authz.MachineCreate), resource.DefaultSpace, "web-01", 10933)
		failed <- err
	}
	for range 4 {
		go look()
		<-began
	}
	if _, err := s.Discover(t.Context(), caller(authz.MachineCreate), resource.DefaultSpace, "web-01", 10933); resource.CodeOf(err) != resource.RateLimited {
		t.Errorf("a fifth: %v", err)
	}
	close(end)
	for range 4 {
		if err := <-failed; resource.CodeOf(err) != resource.Invalid {
			t.Errorf("got %v", err)
		}
	}
	go look()
	<-began
	if err := <-failed; resource.CodeOf(err) != resource.Invalid {
		t.Errorf("got %v", err)
	}
}
