//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// program is the slipway under test, built by TestMain.
var program string

// shared is the server of the stories that do not care which one it is.
var shared struct {
	once   sync.Once
	folder string
	server *server
	err    error
}

var prebuilt = flag.String("slipway", "", "test this program instead of building one")

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "slipway-e2e-")
	if err != nil {
		return 0, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if program = *prebuilt; program == "" {
		program = filepath.Join(folder, "slipway")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../cmd/slipway").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build slipway: %w\n%s", err, out)
		}
	}
	// Stories wait far more than they work: more of them than processors.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("8"); err != nil {
			return 0, err
		}
	}
	shared.folder = filepath.Join(folder, "shared")
	code = m.Run()
	if shared.server != nil {
		shared.server.process.kill()
	}
	killLeftovers(folder)
	return code, nil
}

// sharedServer is started by the first story that asks for it.
func sharedServer(t *testing.T) *server {
	t.Helper()
	shared.once.Do(func() {
		shared.server = &server{folder: shared.folder, data: filepath.Join(shared.folder, "data")}
		shared.err = shared.server.first()
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}
