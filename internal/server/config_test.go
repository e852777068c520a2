package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/server"
)

// What would be unsafe or cannot work is refused before anything is touched.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*server.Config)
		says   string
	}{
		"no data folder":             {func(c *server.Config) { c.Data = "" }, "needs a data folder"},
		"no address":                 {func(c *server.Config) { c.Listen = "" }, "an address to listen on"},
		"an address without a port":  {func(c *server.Config) { c.Listen = "127.0.0.1" }, "Write it like 127.0.0.1:8080"},
		"a certificate and no key":   {func(c *server.Config) { c.TLSCert = "cert.pem" }, "Give both --tls-cert and --tls-key"},
		"a key and no certificate":   {func(c *server.Config) { c.TLSKey = "key.pem" }, "Give both --tls-cert and --tls-key"},
		"plain HTTP everywhere":      {func(c *server.Config) { c.Listen = ":0" }, "--insecure-http"},
		"plain HTTP on IPv4":         {func(c *server.Config) { c.Listen = "0.0.0.0:0" }, "--insecure-http"},
		"plain HTTP on IPv6":         {func(c *server.Config) { c.Listen = "[::]:0" }, "--insecure-http"},
		"plain HTTP under a name":    {func(c *server.Config) { c.Listen = "slipway.example:80" }, "Give --tls-cert and --tls-key"},
		"agents without a port":      {func(c *server.Config) { c.Agents = "10943" }, "Write it like :10943"},
		"metrics for everybody":      {func(c *server.Config) { c.Metrics = ":9090" }, "loopback only"},
		"metrics for the network":    {func(c *server.Config) { c.Metrics = "192.0.2.1:9090" }, "loopback only"},
		"metrics without a port":     {func(c *server.Config) { c.Metrics = "127.0.0.1" }, "Write their address like 127.0.0.1:9090"},
		"metrics and insecure HTTP":  {func(c *server.Config) { c.Metrics, c.InsecureHTTP = ":9090", true }, "loopback only"},
		"a look-alike of loopback":   {func(c *server.Config) { c.Listen = "localhost.example:80" }, "--insecure-http"},
		"blobs somewhere":            {func(c *server.Config) { c.Blobs = "/srv/blobs" }, "s3://bucket/prefix"},
		"credentials in an address":  {func(c *server.Config) { c.Blobs = "s3://key:secret@bucket" }, "AWS_ACCESS_KEY_ID"},
		"half a pair, insecure HTTP": {func(c *server.Config) { c.TLSCert, c.InsecureHTTP = "cert.pem", true }, "Give both"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			data := cfg.Data
			c.change(&cfg)
			refused(t, cfg, resource.Invalid, c.says)
			if _, err := os.Stat(data); err == nil {
				t.Error("the data folder was made all the same")
			}
		})
	}
}

func TestAddressesThatAreAllowed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"by name":              func(c *server.Config) { c.Listen = "localhost:0" },
		"another loopback":     func(c *server.Config) { c.Listen = "[::1]:0" },
		"insecure on purpose":  func(c *server.Config) { c.Listen, c.InsecureHTTP = ":0", true },
		"no agents or metrics": func(c *server.Config) { c.Agents, c.Metrics = "", "" },
		"nothing but the least": func(c *server.Config) {
			*c = server.Config{Data: c.Data, Listen: c.Listen, AdminKey: c.AdminKey}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := later(t)
			change(&cfg)
			if host, _, _ := net.SplitHostPort(cfg.Listen); host == "::1" && !hasIPv6(t) {
				t.Skip("no IPv6 here")
			}
			r := run(t, cfg)
			if r.me() != "admin" {
				t.Error("the API does not answer")
			}
			if (r.AgentsAddr() == nil) != (cfg.Agents == "") {
				t.Errorf("agents connect to %v", r.AgentsAddr())
			}
			r.stop()
		})
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	return err == nil && l.Close() == nil
}

// A socket that is taken is named with the flag that moves it, and whatever
// was opened before it is closed again.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	for flag, field := range map[string]func(*server.Config) *string{
		"--listen":  func(c *server.Config) *string { return &c.Listen },
		"--agents":  func(c *server.Config) *string { return &c.Agents },
		"--metrics": func(c *server.Config) *string { return &c.Metrics },
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			cfg, taken := later(t), listen(t).Addr().String()
			all := []*string{&cfg.Listen, &cfg.Agents, &cfg.Metrics}
			for _, address := range all {
				*address = freeAddress(t)
			}
			mine := field(&cfg)
			*mine = taken
			refused(t, cfg, resource.Unavailable, taken, "Choose another address with "+flag)
			for _, address := range all {
				if address != mine {
					closed(t, *address)
				}
			}
			*mine = "127.0.0.1:0"
			run(t, cfg).stop() // and the data folder is free
		})
	}
}

// A server that never ran gives everything back as well.
func TestCloseWithoutRun(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := open(t, cfg)
	sockets := []net.Addr{r.Addr(), r.AgentsAddr(), r.MetricsAddr()}
	for _, a := range sockets {
		if !answers(t, a.String()) {
			t.Errorf("%s is not open", a)
		}
	}
	check(t, r.close())
	for _, a := range sockets {
		closed(t, a.String())
	}
	run(t, cfg).stop()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	cfg.Listen = ":0" // which nobody may reach without TLS
	var pool *x509.CertPool
	cfg.TLSCert, cfg.TLSKey, pool = certificate(t)
	r := run(t, cfg)
	_, port, err := net.SplitHostPort(r.Addr().String())
	check(t, err)
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		client := &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: version, MaxVersion: version},
		}}
		res, err := client.Get("https://127.0.0.1:" + port + "/healthz")
		check(t, err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || res.TLS.Version != version {
			t.Errorf("%s %s over %s", res.Status, res.Proto, tls.VersionName(res.TLS.Version))
		}
		client.CloseIdleConnections()
	}
	old := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}
	if conn, err := old.DialContext(t.Context(), "tcp", "127.0.0.1:"+port); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	r.stop()
}

func TestUnusableCertificate(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t)
	_, other, _ := certificate(t)
	for name, pair := range map[string][2]string{
		"missing files":         {filepath.Join(t.TempDir(), "none.pem"), key},
		"another one's key":     {cert, other},
		"the files are swapped": {key, cert},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := later(t)
			cfg.Listen, cfg.TLSCert, cfg.TLSKey = freeAddress(t), pair[0], pair[1]
			refused(t, cfg, resource.Invalid, pair[0], pair[1], "Give a certificate and the key that it was made for")
			closed(t, cfg.Listen)
		})
	}
}

// certificate makes one for 127.0.0.1 that the pool trusts.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	check(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	parsed, err := x509.ParseCertificate(der)
	check(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}
