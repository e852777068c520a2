package server_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/server"
)

// The test program is also the worker's process: what it does is in workerDoes,
// where it says so in workerSays.
const (
	workerDoes = "SLIPWAY_TEST_WORKER"
	workerSays = "SLIPWAY_TEST_WORKER_FILE"
)

func TestMain(m *testing.M) {
	if does := os.Getenv(workerDoes); does != "" {
		os.Exit(work(does))
	}
	status := m.Run()
	if folder, err := begun(); err == nil {
		_ = os.RemoveAll(folder)
	}
	os.Exit(status)
}

// begun is the data folder of a server that has had its first start, with the
// key adminKey: making one takes most of what a short test takes.
var begun = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "slipway-server-"); err != nil {
		return "", err
	}
	s, err := server.New(context.Background(), server.Config{Data: folder, Listen: "127.0.0.1:0", AdminKey: adminKey, Now: now})
	if err != nil {
		return "", err
	}
	return folder, s.Close()
})

func work(does string) int {
	switch does {
	case "ends":
		return 1
	case "leaves": // a child that keeps the worker's output open
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), workerDoes+"=stays")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	case "stays":
		if err := os.WriteFile(os.Getenv(workerSays), fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			return 2
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	select {
	case <-interrupted:
	case <-time.After(time.Minute): // no process outlives its test for long
	}
	return 0
}
