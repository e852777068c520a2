package server

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Config says what a server is made of. Data and Listen have to be set.
type Config struct {
	Data string // the data folder
	// Database is the address of a PostgreSQL database, which any number of
	// servers may use at once; empty: SQLite in the data folder.
	Database string
	Listen   string // of the API, "127.0.0.1:8080"
	Agents   string // where polling agents connect, ":10943"
	Metrics  string // of /metrics, on loopback; empty: nowhere
	// MoveBlobs says that the blobs of the database were copied to Blobs.
	MoveBlobs bool
	// Blobs is where packages, artifacts and finished logs lie when not in the data
	// folder: s3://bucket/prefix?region=…&endpoint=… (blob.ParseS3).
	Blobs string
	Node  string // this node's name, stable across restarts

	TLSCert, TLSKey string // PEM files; both or none
	// InsecureHTTP allows plain HTTP on an address that others can reach.
	InsecureHTTP bool

	// AdminKey and AdminPassword are the administrator's at the first start;
	// without either a key is made and written to Out, once.
	AdminKey, AdminPassword string

	Version string
	Worker  Worker       // nil: steps that run on the server wait for one
	Logger  *slog.Logger // nothing is logged when nil
	// Out is where a key that was made is shown. Without it the first start asks
	// for AdminKey or AdminPassword.
	Out io.Writer
	Now func() time.Time // time.Now when nil
	// Sweep is how often the fleet looks around by itself; 15 s when 0.
	Sweep time.Duration
	// Grace is how long requests and the worker may take to end once the server
	// stops; 10 s when 0.
	Grace time.Duration
}

// Worker is the agent process that runs steps on the server: an ordinary
// agent beside it, with journal and shim (design 5.9).
type Worker interface {
	// Prepare makes the agent's home where there is none and points it at this
	// server. It returns the agent's own thumbprint and subscription.
	Prepare(home, address, serverThumbprint string) (thumbprint, subscription string, err error)
	// Command runs the agent until its context ends. The server calls it again
	// whenever the agent has ended.
	Command(ctx context.Context, home string) *exec.Cmd
}

// check refuses what would be unsafe or cannot work, with what to do instead.
func (c *Config) check() error {
	if c.Database != "" && c.Node == "" {
		return resource.Errorf(resource.Invalid, "Give the server a name with --node, another than that of each other server of its database.")
	}
	if c.Data == "" || c.Listen == "" {
		return resource.Errorf(resource.Invalid, "The server needs a data folder and an address to listen on.")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return resource.Errorf(resource.Invalid, "Give both --tls-cert and --tls-key, or neither.")
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return resource.Errorf(resource.Invalid, "The address '%s' is not understood. Write it like 127.0.0.1:8080.", c.Listen)
	}
	if c.TLSCert == "" && !loopback(host) && !c.InsecureHTTP {
		return resource.Errorf(resource.Invalid, "'%s' can be reached from other machines, and plain HTTP would show API keys to the network. Give --tls-cert and --tls-key, or accept it with --insecure-http.", c.Listen)
	}
	if _, _, err := net.SplitHostPort(c.Agents); c.Agents != "" && err != nil {
		return resource.Errorf(resource.Invalid, "The agents' address '%s' is not understood. Write it like :10943.", c.Agents)
	}
	if c.Metrics != "" {
		host, _, err := net.SplitHostPort(c.Metrics)
		if err != nil || !loopback(host) {
			return resource.Errorf(resource.Invalid, "Metrics are served on loopback only. Write their address like 127.0.0.1:9090.")
		}
	}
	if c.Blobs != "" {
		if _, err := blob.ParseS3(c.Blobs); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sweep == 0 {
		c.Sweep = 15 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
}

// openBlobs opens the storage of packages, artifacts and finished logs.
func (c *Config) openBlobs(ctx context.Context) (blob.Store, error) {
	address := c.Blobs
	if address == "" {
		address = filepath.Join(c.Data, blobFolder)
	}
	return blob.Open(ctx, address, filepath.Join(c.Data, uploadFolder), c.Now)
}

// loopback says whether only this machine reaches the host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// listen opens the API's socket.
func (c *Config) listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, taken(c.Listen, "--listen", err)
	}
	if c.TLSCert == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		_ = l.Close()
		return nil, &resource.Error{Code: resource.Invalid, Message: "The certificate " + c.TLSCert + " cannot be used with the key " + c.TLSKey + ". Give a certificate and the key that it was made for, both as PEM files.", Err: err}
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// taken says that a socket could not be opened, and which flag moves it.
func taken(address, flag string, err error) error {
	return &resource.Error{
		Code: resource.Unavailable, Err: err,
		Message: "The server cannot listen on " + address + ". Is another server running there? Choose another address with " + flag + ".",
	}
}
