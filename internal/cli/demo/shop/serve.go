package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Running says where an instance of the shop serves. It is kept in the state
// folder of the machine's site while the instance lives.
type Running struct {
	Address string
	PID     int
	// Token lets its holder stop the instance.
	Token string
}

const stateName = "running.json"

// Serve serves the shop until its context ends or it is told to stop. The
// state folder holds, from before the first request on, where that is.
func Serve(ctx context.Context, site http.Handler, state, token string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve shop: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	mux := http.NewServeMux()
	mux.Handle("/", site)
	mux.HandleFunc("GET /-/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("POST /-/stop", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		stop(errors.New("told to stop"))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		done <- server.Shutdown(finish)
	}()
	err = write(state, Running{Address: listener.Addr().String(), PID: os.Getpid(), Token: token})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve shop: %w", err)
	}
	return <-done
}

func write(state string, r Running) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	name := filepath.Join(state, stateName)
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return os.Rename(name+".new", name)
}

// Current reads which instance the state folder knows; ok is false for none.
func Current(state string) (r Running, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(state, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return Running{}, false, nil
	}
	if err != nil {
		return Running{}, false, fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return Running{}, false, fmt.Errorf("read state: %w", err)
	}
	return r, true, nil
}

// Stop stops the instance that the state folder knows and returns when its
// address no longer answers.
func Stop(ctx context.Context, state string) error {
	r, ok, err := Current(state)
	if err != nil || !ok {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.Address+"/-/stop", http.NoBody)
	if err != nil {
		return fmt.Errorf("stop shop: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Address)
		if err != nil {
			return os.Remove(filepath.Join(state, stateName))
		}
		conn.Close()
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop shop at %s: %w", r.Address, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
