package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

var errEnded = errors.New("it ended without an error")

// Start starts program as an instance of the shop that outlives its starter,
// and returns once it answers. program is expected to call Serve with the same
// state folder.
//
// The instance is a daemon by design: it is started in a session of its own,
// holds none of the starter's streams, and its parent, the script, ends. An
// attempt ends when its script has; what a script left running on purpose is
// not the attempt's any more, and only the cancellation of a running attempt
// ends a whole process tree. On a real machine the script would tell systemd
// or a service manager to start it; the demo has neither.
func Start(ctx context.Context, program *exec.Cmd, state string) (Running, error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return Running{}, fmt.Errorf("start shop: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(state, "shop.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return Running{}, fmt.Errorf("start shop: %w", err)
	}
	defer log.Close()
	program.Stdin, program.Stdout, program.Stderr = nil, log, log
	Detach(program)
	if err := program.Start(); err != nil {
		return Running{}, fmt.Errorf("start shop: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r, ok, err := Current(state); err == nil && ok && r.PID == program.Process.Pid && answers(ctx, r.Address) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return Running{}, fmt.Errorf("start shop: %w", context.Cause(ctx))
		case err := <-ended:
			if err == nil {
				err = errEnded
			}
			return Running{}, fmt.Errorf("start shop: it ended at once, see %s: %w", log.Name(), err)
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/-/health", http.NoBody)
	if err != nil {
		return false
	}
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
