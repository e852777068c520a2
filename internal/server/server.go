package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/app/feed"
	"github.com/slipwayhq/slipway/internal/app/identity"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/fleet"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
)

// The folders and files in the data folder, beside the store's own.
const (
	blobFolder     = "blobs"
	uploadFolder   = "uploads" // on their way to storage
	identityFolder = "identity"
	workerFolder   = "worker"
	sessionKeyFile = "session.key"
	installFile    = "installation.id"
)

// Server is one node.
type Server struct {
	cfg      Config
	db       *store.DB
	blobs    blob.Store
	identity *agentrpc.Identity
	engine   *engine.Engine
	gateway  *gateway.Gateway
	fleet    *fleet.Fleet
	api      *http.Server
	listener net.Listener
	metrics  net.Listener
	users    *identity.Service
	ran      bool // Run has taken the sockets over
}

// New opens the data folder and every socket; Run serves. On an error nothing
// is left open.
func New(ctx context.Context, cfg Config) (s *Server, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	s = &Server{cfg: cfg}
	defer func() { //nolint:contextcheck // what was opened is closed whether or not ctx has ended
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return s, fmt.Errorf("make data folder: %w", err)
	}
	if err := s.openStore(ctx); err != nil {
		return s, err
	}
	if err := s.checkBlobs(ctx); err != nil {
		return s, err
	}
	if s.blobs, err = cfg.openBlobs(ctx); err != nil {
		return s, err
	}
	s.db.Logs().UseArchive(logBlobs{s.blobs})
	if err := s.openIdentity(ctx); err != nil {
		return s, err
	}
	if err := s.firstStart(ctx); err != nil {
		return s, err
	}
	return s, s.wire(ctx)
}

// Identity is the server's own key and certificate, made when it has none.
func Identity(data string, now time.Time) (*agentrpc.Identity, error) {
	return agentrpc.LoadOrCreateIdentity(filepath.Join(data, identityFolder), "slipway server", now, rand.Reader)
}

// wire opens the sockets and puts the parts together. The gateway opens its own
// socket and comes last of what can fail.
func (s *Server) wire(ctx context.Context) (err error) {
	docs, err := documents.New(documents.Config{
		DB: s.db, HashToken: secret.Hash, NewToken: secret.NewToken, CheckHealth: fleet.CheckHealth, Probe: s.discover,
	})
	if err != nil {
		return err
	}
	deployments := deploy.New(s.db)
	if err := s.wireAPI(ctx, docs, deployments, feed.New(s.db, s.blobs)); err != nil {
		return err
	}
	if s.listener, err = s.cfg.listen(ctx); err != nil {
		return err
	}
	if s.cfg.Metrics != "" {
		if s.metrics, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Metrics); err != nil {
			return taken(s.cfg.Metrics, "--metrics", err)
		}
	}
	s.engine = engine.New(engine.Config{
		DB: s.db, Node: s.cfg.Node, Logger: s.cfg.Logger, Now: s.cfg.Now, Version: s.cfg.Version, Alone: !s.shared(),
	})
	if s.gateway, err = gateway.New(ctx, gateway.Config{
		DB: s.db, Blobs: s.blobs, Identity: s.identity, Node: s.cfg.Node, Owner: s.owner(), Listen: s.cfg.Agents, Logger: s.cfg.Logger, Now: s.cfg.Now,
	}); err != nil {
		return taken(s.cfg.Agents, "--agents", err)
	}
	work := s.duty("fleet")
	s.fleet = fleet.New(fleet.Config{DB: work, OnDuty: work.On, Deploy: deployments, Prober: prober{s.gateway}, Logger: s.cfg.Logger, Sweep: s.cfg.Sweep, Now: s.cfg.Now})
	return nil
}

func (s *Server) wireAPI(ctx context.Context, docs *documents.Service, deployments *deploy.Service, packages *feed.Service) error {
	sessionKey, err := s.installed(ctx, sharedSession, sessionKeyFile, 32)
	if err != nil {
		return err
	}
	install, err := s.installed(ctx, sharedInstall, installFile, 16)
	if err != nil {
		return err
	}
	handler, err := api.New(api.Config{
		Identity: s.users, Spaces: docs, Areas: areas(parts{docs, s.users, deployments, deploy.NewArtifacts(s.db, s.blobs), packages, s.db, s.cfg.Now, s.identity.Thumbprint()}),
		Version: APIVersion, InstallationID: guid(install), SessionKey: sessionKey, SecureCookies: s.cfg.TLSCert != "",
		Ready: s.ready, Now: s.cfg.Now, NewID: newGUID, Log: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.api = api.HTTPServer(handler, s.cfg.Logger)
	return nil
}

// owner is this run of the node, where others may have the database open.
func (s *Server) owner() func() string {
	if !s.shared() {
		return nil
	}
	return s.engine.Owner
}

func (s *Server) duty(name string) duty { return duty{DB: s.db, name: name, owner: s.owner()} }

// ready says whether the server can do its work.
func (s *Server) ready(ctx context.Context) error {
	if err := s.db.FatalError(); err != nil {
		return err
	}
	return s.db.Read(ctx, func(tx *store.Tx) error {
		_, err := store.Seeded(tx)
		return err
	})
}

// Addr is where the API listens; AgentsAddr where polling agents connect, nil
// for nowhere.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// AgentsAddr is where polling agents connect; nil for nowhere.
func (s *Server) AgentsAddr() net.Addr { return s.gateway.Addr() }

// Thumbprint is what agents trust.
func (s *Server) Thumbprint() string { return s.identity.Thumbprint() }

// Run serves until ctx ends, then lets requests finish for up to Config.Grace.
// Scripts on machines go on; the next start takes their results in.
func (s *Server) Run(ctx context.Context) error {
	if err := s.engine.Begin(ctx); err != nil {
		return s.outcome(ctx.Err() != nil, err)
	}
	s.ran = true
	group, parts := errgroup.WithContext(ctx)
	s.start(parts, group)
	err := group.Wait()
	// The first to end the parts is their cause: one of them, or the caller.
	asked := ctx.Err() != nil && errors.Is(context.Cause(parts), context.Cause(ctx))
	return s.outcome(asked, err)
}

// outcome is what Run returns for a part's error. In a server that was asked to
// stop, parts and transactions that were cut off are no failure; a lost fsync is.
func (s *Server) outcome(asked bool, err error) error {
	if fatal := s.db.FatalError(); fatal != nil {
		return fatal
	}
	if errors.Is(err, store.ErrFenced) {
		return &resource.Error{
			Code: resource.PreconditionFailed, Err: err,
			Message: "Another process has begun as the server '" + s.cfg.Node + "'. Give each server of a database its own --node",
		}
	}
	if asked && err != nil {
		s.cfg.Logger.Info("cut off by the stop", "error", err)
		return nil
	}
	return err
}

func (s *Server) start(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return s.engine.Run(ctx) })
	group.Go(func() error { return s.gateway.Run(ctx) })
	group.Go(func() error { return s.fleet.Run(ctx) })
	group.Go(func() error { return s.serve(ctx, s.api, s.listener) })
	group.Go(func() error { return s.sealAudit(ctx) })
	group.Go(func() error { return s.sealLogs(ctx) })
	if s.metrics != nil {
		group.Go(func() error { return s.serve(ctx, s.metricsServer(), s.metrics) })
	}
	if s.cfg.Worker != nil && s.gateway.Addr() != nil {
		group.Go(func() error { return s.runWorker(ctx) })
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.db.Fatal():
			return s.db.FatalError() // a lost fsync: recover from disk (fault 22)
		}
	})
}

// sealAudit chains the audit's new records about once a second (design 4), and
// those that an earlier run left behind at once: on one node at a time.
func (s *Server) sealAudit(ctx context.Context) error {
	wake, stop := s.db.Watch(store.TopicAudit)
	defer stop()
	for {
		if err := s.sealAll(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.ErrorContext(ctx, "seal the audit", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
	}
}

// sealAll seals until no record is left, in transactions of bounded size.
func (s *Server) sealAll(ctx context.Context) error {
	work := s.duty("audit")
	for sealed := 1; sealed > 0; {
		err := work.Write(ctx, func(tx *store.Tx) (err error) {
			sealed, err = store.SealAudit(tx)
			fail.Point(fail.Sealed)
			return err
		})
		if errors.Is(err, errOffDuty) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) serve(ctx context.Context, server *http.Server, l net.Listener) error {
	server.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), s.cfg.Grace, errors.New("requests did not end in time"))
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close releases what New opened. Run must have returned, if it was called.
func (s *Server) Close() error {
	var errs []error
	if s.gateway != nil && !s.ran {
		ended, end := context.WithCancelCause(context.Background())
		end(net.ErrClosed)
		_ = s.gateway.Run(ended) // which closes its socket, and says that it was ended
	}
	if s.listener != nil {
		errs = append(errs, ignoreClosed(s.listener.Close()))
	}
	if s.metrics != nil {
		errs = append(errs, ignoreClosed(s.metrics.Close()))
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
