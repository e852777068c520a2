package agentrpc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// identityFile holds key and certificate together, so that there is never one
// without the other.
const identityFile = "identity.pem"

// ThumbprintLength is the number of hex digits in a thumbprint.
const ThumbprintLength = 2 * sha256.Size

// Identity is who one side is: an Ed25519 key and the self-signed certificate
// that carries it. The private key never leaves the machine it was made on.
type Identity struct {
	cert tls.Certificate
	pin  string
}

// Thumbprint is the pin of a certificate: the SHA-256 of its DER bytes in
// upper-case hex, 64 digits.
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// ParseThumbprint reads a thumbprint as people paste it, with or without
// colons and spaces and in either case; ok is false when it is no SHA-256.
func ParseThumbprint(text string) (thumbprint string, ok bool) {
	text = strings.ToUpper(strings.NewReplacer(":", "", " ", "", "-", "").Replace(strings.TrimSpace(text)))
	if len(text) != ThumbprintLength {
		return "", false
	}
	if _, err := hex.DecodeString(text); err != nil {
		return "", false
	}
	return text, true
}

// Thumbprint is the identity's own pin.
func (id *Identity) Thumbprint() string { return id.pin }

// String shows the pin and never the key.
func (id *Identity) String() string { return "identity " + id.pin }

// GoString keeps %#v from showing the key.
func (id *Identity) GoString() string { return id.String() }

// CreateIdentity makes an identity and stores it in dir as one file with mode
// 0600. The file appears whole or not at all; when another process was first,
// the error is fs.ErrExist and its file is untouched. name is for people only.
func CreateIdentity(dir, name string, now time.Time, random io.Reader) (*Identity, error) {
	text, err := newIdentity(name, now, random)
	if err != nil {
		return nil, fmt.Errorf("create identity: %w", err)
	}
	if err := writeNew(dir, identityFile, text); err != nil {
		return nil, fmt.Errorf("store identity: %w", err)
	}
	return parseIdentity(text)
}

// LoadIdentity reads the identity in dir. A file that others may read or write
// is refused (abuse 85); a missing one is fs.ErrNotExist.
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("load identity: %s is not a regular file", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("load identity: %s has mode %v and is open to other users; run chmod 600 on it, "+
			"and make a new identity if someone may have read the key", path, info.Mode().Perm())
	}
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err)
	}
	id, err := parseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("load identity %s: %w", path, err)
	}
	return id, nil
}

// IdentityText is the identity in dir as a text, its key included, for other
// servers that are to be the same to agents.
func IdentityText(dir string) ([]byte, error) {
	if _, err := LoadIdentity(dir); err != nil {
		return nil, err
	}
	return readFile(filepath.Join(dir, identityFile))
}

// StoreIdentity puts the text of another server's identity into dir, which has
// none yet: fs.ErrExist otherwise.
func StoreIdentity(dir string, text []byte) error {
	if _, err := parseIdentity(text); err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	if err := writeNew(dir, identityFile, text); err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	return nil
}

// LoadOrCreateIdentity loads the identity in dir and makes it first where there
// is none. Two processes that do so at once get the same one.
func LoadOrCreateIdentity(dir, name string, now time.Time, random io.Reader) (*Identity, error) {
	id, err := LoadIdentity(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id, err = CreateIdentity(dir, name, now, random)
	if errors.Is(err, fs.ErrExist) {
		return LoadIdentity(dir)
	}
	return id, err
}

func newIdentity(name string, now time.Time, random io.Reader) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize+16)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(seed[ed25519.SeedSize:]),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Slipway"}},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(100, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, block := range []*pem.Block{
		{Type: "PRIVATE KEY", Bytes: private},
		{Type: "CERTIFICATE", Bytes: der},
	} {
		if err := pem.Encode(&text, block); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

func parseIdentity(text []byte) (*Identity, error) {
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	return &Identity{cert: cert, pin: Thumbprint(cert.Leaf)}, nil
}

// writeNew makes dir/name with the content, durably, and fails with
// fs.ErrExist when it is there already.
func writeNew(dir, name string, content []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+name+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces.
	if err := os.Link(temp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir durable. Windows has no such call and
// journals its directories itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
