package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// What the nodes of one database share beside its rows, sealed with the master
// key in the database itself.
const (
	sharedIdentity = "identity"
	sharedSession  = "session.key"
	sharedInstall  = "installation.id"
	sharedBlobs    = "blobs"
)

// openStore opens the database that the configuration names.
func (s *Server) openStore(ctx context.Context) error {
	_, statErr := os.Stat(filepath.Join(s.cfg.Data, secret.KeyFile))
	keys, err := secret.Load(s.cfg.Data)
	if err != nil {
		return err
	}
	config := store.Config{Path: s.cfg.Data, Keys: keys, Logger: s.cfg.Logger, Database: s.cfg.Database}
	if s.cfg.Database == "" {
		config.Now = s.cfg.Now
	}
	if s.db, err = store.Open(ctx, config); err != nil {
		return s.explainKey(err, errors.Is(statErr, fs.ErrNotExist))
	}
	if s.shared() { // a key that does not fit is found now, not by the first secret
		_, err = s.installation(ctx, sharedInstall, func() (string, error) { return random(16), nil })
	}
	return s.explainKey(err, errors.Is(statErr, fs.ErrNotExist))
}

// explainKey says what to do where the database was set up with another master
// key; one that was just made for it is removed again.
func (s *Server) explainKey(err error, made bool) error {
	if err == nil || !s.shared() || !errors.Is(err, secret.ErrOpen) {
		return err
	}
	path := filepath.Join(s.cfg.Data, secret.KeyFile)
	if made {
		err = errors.Join(err, os.Remove(path))
	}
	return &resource.Error{
		Code: resource.PreconditionFailed, Err: err,
		Message: "This database was set up with another master key. Copy " + secret.KeyFile + " from the data folder of a server that uses it to " + path + " (mode 0600), and start again.",
	}
}

// shared says that the database may be that of several nodes.
func (s *Server) shared() bool { return s.cfg.Database != "" }

// installation reads what all nodes share under the name, or shares what this
// one makes: of two that start at once, one wins.
func (s *Server) installation(ctx context.Context, name string, makeOne func() (string, error)) (value string, err error) {
	read := func(tx *store.Tx) (err error) {
		value, err = store.Installation(tx, name)
		return err
	}
	if err := s.db.Read(ctx, read); err != nil || value != "" {
		return value, err
	}
	made, err := makeOne()
	if err != nil {
		return "", err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if err := read(tx); err != nil || value != "" {
			return err
		}
		value = made
		return store.KeepInstallation(tx, name, made)
	})
	return value, err
}

func random(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return hex.EncodeToString(raw)
}

// installed reads n random bytes that belong to the installation: from its
// database where nodes share one, else from a file beside it.
func (s *Server) installed(ctx context.Context, name, file string, n int) ([]byte, error) {
	if !s.shared() {
		return s.file(file, n)
	}
	text, err := s.installation(ctx, name, func() (string, error) { return random(n), nil })
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != n {
		return nil, fmt.Errorf("%s of the installation has %d bytes, not %d", name, len(raw), n)
	}
	return raw, nil
}

// openIdentity reads the key and certificate that agents trust: the same on all
// nodes of a database. The first one's becomes that of all, and each keeps a
// copy in its data folder.
func (s *Server) openIdentity(ctx context.Context) (err error) {
	if !s.shared() {
		s.identity, err = Identity(s.cfg.Data, s.cfg.Now())
		return err
	}
	folder := filepath.Join(s.cfg.Data, identityFolder)
	text, err := s.installation(ctx, sharedIdentity, func() (string, error) {
		if _, err := Identity(s.cfg.Data, s.cfg.Now()); err != nil {
			return "", err
		}
		text, err := agentrpc.IdentityText(folder)
		return string(text), err
	})
	if err != nil {
		return err
	}
	switch own, err := agentrpc.IdentityText(folder); {
	case errors.Is(err, fs.ErrNotExist):
		if err := agentrpc.StoreIdentity(folder, []byte(text)); err != nil {
			return err
		}
	case err != nil:
		return err
	case !bytes.Equal(own, []byte(text)):
		return resource.Errorf(resource.PreconditionFailed,
			"%s holds the key of another server than the one that this database's agents trust. Remove that folder if no agents trust it any more, or give another --data.", folder)
	}
	s.identity, err = agentrpc.LoadIdentity(folder)
	return err
}

// blobsFile names the folder of a server's own blobs, so that two of them are
// told apart.
const blobsFile = "blobs.id"

// checkBlobs refuses a second place for the packages, artifacts and finished
// logs of one database: what one node stored there the others would not find.
func (s *Server) checkBlobs(ctx context.Context) error {
	if !s.shared() {
		return nil
	}
	here := "the folder of server " + s.cfg.Node
	if s.cfg.Blobs != "" {
		here = bareAddress(s.cfg.Blobs)
	} else {
		id, err := s.file(blobsFile, 8)
		if err != nil {
			return err
		}
		here += " " + hex.EncodeToString(id)
	}
	if s.cfg.MoveBlobs {
		return s.db.Write(ctx, func(tx *store.Tx) error { return store.KeepInstallation(tx, sharedBlobs, here) })
	}
	there, err := s.installation(ctx, sharedBlobs, func() (string, error) { return here, nil })
	if err != nil || there == here {
		return err
	}
	if s.cfg.Blobs == "" {
		return resource.Errorf(resource.PreconditionFailed,
			"The packages and logs of this database lie in %s, and this server would keep its own in --data, where the others do not find them. Give each server the same --blobs s3://….", there)
	}
	return resource.Errorf(resource.PreconditionFailed,
		"The packages and logs of this database lie in %s, not in %s. Give each server the same --blobs. If you have moved them, copy everything there and start once with --blobs-moved.", there, here)
}

// bareAddress leaves out of an address what is not the place.
func bareAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	bare := u.Scheme + "://" + u.Host + strings.TrimRight(u.Path, "/")
	if endpoint := u.Query().Get("endpoint"); endpoint != "" {
		bare += " at " + endpoint
	}
	return bare
}

// errOffDuty says that another node does this work now.
var errOffDuty = errors.New("another server does this now")

// duty is the database for a work that one node does at a time: what it writes,
// it writes on duty only (fault 50).
type duty struct {
	*store.DB

	name  string
	owner func() string // nil: no other node can have the database open
}

// Write is store.DB's, fenced.
func (d duty) Write(ctx context.Context, f func(*store.Tx) error) error {
	return d.DB.Write(ctx, func(tx *store.Tx) error {
		if d.owner != nil {
			on, err := store.OnDuty(tx, d.name, d.owner())
			if err != nil {
				return err
			}
			if !on {
				return errOffDuty
			}
		}
		return f(tx)
	})
}

// On says whether this node does the work, and makes it that where none does.
func (d duty) On(ctx context.Context) (bool, error) {
	err := d.Write(ctx, func(*store.Tx) error { return nil })
	if errors.Is(err, errOffDuty) {
		return false, nil
	}
	return err == nil, err
}
