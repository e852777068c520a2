package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// KeySize is the length of master and data keys in bytes.
const KeySize = 32

// boxVersion is the first byte of every box: AES-256-GCM with a 12-byte random
// nonce.
const boxVersion = 1

// ErrUnknownKey says that a box was sealed with a data key that the Keyring
// does not have (yet).
var ErrUnknownKey = errors.New("secret: unknown data key")

// ErrOpen says that a box does not open: it was changed, belongs to another
// document or field, or another master key wrapped its data key.
var ErrOpen = errors.New("secret: the sealed value does not open")

// Keyring holds the master key and the data keys unwrapped so far. It is safe
// for concurrent use.
type Keyring struct {
	master cipher.AEAD
	mu     sync.RWMutex
	keys   map[string]*DataKey
}

// New makes a Keyring of a master key of KeySize bytes.
func New(master []byte) (*Keyring, error) {
	aead, err := newAEAD(master)
	if err != nil {
		return nil, err
	}
	return &Keyring{master: aead, keys: map[string]*DataKey{}}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("secret: a key has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return cipher.NewGCM(block)
}

// DataKey seals and opens values. Its id is part of every box.
type DataKey struct {
	id   string
	aead cipher.AEAD
}

// ID is the key's id.
func (k *DataKey) ID() string { return k.id }

// Mint makes a data key and its wrapped form for the store. The Keyring does
// not know it before Add: a key whose row was rolled back must not be used.
func (r *Keyring) Mint(id string) (key *DataKey, wrapped []byte, err error) {
	if id == "" || len(id) > 255 {
		return nil, nil, fmt.Errorf("secret: bad data key id %q", id)
	}
	raw := make([]byte, KeySize)
	rand.Read(raw)
	aead, err := newAEAD(raw)
	if err != nil {
		return nil, nil, err
	}
	return &DataKey{id: id, aead: aead}, r.wrap(id, raw), nil
}

func wrapData(id string) []byte { return bind("data key", id, "") }

// Unwrap opens a wrapped data key; it does not add it.
func (r *Keyring) Unwrap(id string, wrapped []byte) (*DataKey, error) {
	raw, err := r.unwrap(id, wrapped)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(raw)
	if err != nil {
		return nil, err
	}
	return &DataKey{id: id, aead: aead}, nil
}

func (r *Keyring) unwrap(id string, wrapped []byte) ([]byte, error) {
	n := r.master.NonceSize()
	if len(wrapped) < n {
		return nil, fmt.Errorf("unwrap data key %s: %w", id, ErrOpen)
	}
	raw, err := r.master.Open(nil, wrapped[:n], wrapped[n:], wrapData(id))
	if err != nil {
		return nil, fmt.Errorf("unwrap data key %s: %w", id, ErrOpen)
	}
	return raw, nil
}

func (r *Keyring) wrap(id string, raw []byte) []byte {
	nonce := make([]byte, r.master.NonceSize())
	rand.Read(nonce)
	return r.master.Seal(nonce, nonce, raw, wrapData(id))
}

// Rewrap wraps the data key of one master key with another, for rotation; boxes
// stay as they are.
func (r *Keyring) Rewrap(id string, wrapped []byte, next *Keyring) ([]byte, error) {
	raw, err := r.unwrap(id, wrapped)
	if err != nil {
		return nil, err
	}
	return next.wrap(id, raw), nil
}

// Add makes data keys known.
func (r *Keyring) Add(keys ...*DataKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := maps.Clone(r.keys)
	for _, k := range keys {
		next[k.id] = k
	}
	r.keys = next
}

// Key is a known data key.
func (r *Keyring) Key(id string) (*DataKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[id]
	return k, ok
}

// Open opens a box with the data key that it names. ErrUnknownKey asks the
// caller to Add that key first; ErrOpen is final.
func (r *Keyring) Open(kind, id, field string, box []byte) ([]byte, error) {
	name, err := KeyOf(box)
	if err != nil {
		return nil, err
	}
	key, ok := r.Key(name)
	if !ok {
		return nil, fmt.Errorf("open %s of %s %s: %w: %s", field, kind, id, ErrUnknownKey, name)
	}
	return key.Open(kind, id, field, box)
}

// Seal makes a box of a value that belongs to the field of a document.
func (k *DataKey) Seal(kind, id, field string, plain []byte) []byte {
	box := make([]byte, 0, 2+len(k.id)+k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	box = append(box, boxVersion, byte(len(k.id)))
	box = append(box, k.id...)
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce)
	box = append(box, nonce...)
	return k.aead.Seal(box, nonce, plain, bind(kind, id, field))
}

// Open opens a box of Seal.
func (k *DataKey) Open(kind, id, field string, box []byte) ([]byte, error) {
	name, err := KeyOf(box)
	if err != nil || name != k.id {
		return nil, fmt.Errorf("open %s of %s %s: %w", field, kind, id, ErrOpen)
	}
	sealed := box[2+len(k.id):]
	n := k.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("open %s of %s %s: %w", field, kind, id, ErrOpen)
	}
	plain, err := k.aead.Open(nil, sealed[:n], sealed[n:], bind(kind, id, field))
	if err != nil {
		return nil, fmt.Errorf("open %s of %s %s: %w", field, kind, id, ErrOpen)
	}
	return plain, nil
}

// KeyOf is the id of the data key that sealed the box.
func KeyOf(box []byte) (string, error) {
	if len(box) < 2 || box[0] != boxVersion || len(box) < 2+int(box[1]) {
		return "", fmt.Errorf("secret: %w: not a box", ErrOpen)
	}
	return string(box[2 : 2+int(box[1])]), nil
}

// bind makes the associated data: each part with its length in front, so that
// no two triples give the same bytes.
func bind(parts ...string) []byte {
	var out []byte
	//guard:box-bound I10: a sealed value opens only in its own place; less `range parts`, with `range parts[:0]`; seen by ./internal/secret TestBoxIsBoundToItsPlace
	for _, p := range parts {
		out = binary.AppendUvarint(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}
