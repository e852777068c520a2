package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// simulated is a server with a fleet of simulated agents (bench/fleet), each
// with a key, a connection and a machine of its own, all in one process.
type simulated struct {
	*slipway

	stdin     io.WriteCloser
	stdout    *bufio.Scanner
	connected int
}

// startSimulated starts a server and a fleet that nobody is in yet.
func startSimulated(ctx context.Context, binary, dir string) (*simulated, error) {
	s := &simulated{}
	var err error
	if s.slipway, err = startSlipway(ctx, binary, dir, 0); err != nil {
		return s, err
	}
	trust, err := s.thumbprint(ctx)
	if err != nil {
		return s, err
	}
	program := filepath.Join(dir, "fleet")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/slipwayhq/slipway/bench/fleet").CombinedOutput(); err != nil {
		return s, fmt.Errorf("build fleet: %w: %s", err, out)
	}
	fleet := exec.CommandContext(ctx, program, "-server", fmt.Sprintf("127.0.0.1:%d", s.agents), "-pin", trust, "-dir", filepath.Join(dir, "keys"))
	if s.stdin, err = fleet.StdinPipe(); err != nil {
		return s, err
	}
	out, err := fleet.StdoutPipe()
	if err != nil {
		return s, err
	}
	s.stdout = bufio.NewScanner(out)
	return s, s.procs.start(fleet, filepath.Join(dir, "fleet.log"))
}

// tell gives the fleet a command and returns the lines before its "ok", and
// what follows that word.
func (s *simulated) tell(command string) (lines []string, answer string, err error) {
	if _, err := fmt.Fprintln(s.stdin, command); err != nil {
		return nil, "", err
	}
	for s.stdout.Scan() {
		if rest, ok := strings.CutPrefix(s.stdout.Text(), "ok"); ok {
			return lines, strings.TrimSpace(rest), nil
		}
		lines = append(lines, s.stdout.Text())
	}
	return nil, "", errors.Join(errors.New("the fleet has ended, see fleet.log"), s.stdout.Err())
}

// enrol makes agents and registers a machine for each: environments says in
// which ones the machine with that number is.
func (s *simulated) enrol(ctx context.Context, n int, environments func(i int) []string) error {
	lines, _, err := s.tell(fmt.Sprintf("make %d", n))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) != 3 {
			return fmt.Errorf("the fleet said %q", line)
		}
		i, err := strconv.Atoi(strings.TrimPrefix(words[1], "bench-"))
		if err != nil {
			return fmt.Errorf("the fleet said %q: %w", line, err)
		}
		group.Go(func() error {
			_, err := s.api.post(ctx, "/api/machines", document{
				"Name": machine(i), "EnvironmentIds": environments(i), "Roles": []string{"bench"},
				"Endpoint": document{"CommunicationStyle": "TentacleActive", "Uri": "poll://" + words[1] + "/", "Thumbprint": words[2]},
			})
			return err
		})
	}
	return group.Wait()
}

// connectedAtOnce is how many agents connect at a time.
const connectedAtOnce = 1000

// connectTo lets agents connect until there are n, and waits until all of them
// are healthy.
func (s *simulated) connectTo(ctx context.Context, n int) error {
	began := time.Now()
	for s.connected < n {
		s.connected = min(n, s.connected+connectedAtOnce)
		if _, _, err := s.tell(fmt.Sprintf("connect %d", s.connected)); err != nil {
			return err
		}
		err := poll(ctx, fmt.Sprintf("the links of %d agents", s.connected), 50*time.Millisecond, 2*time.Minute, func() (bool, error) {
			f, err := s.take(ctx)
			return f.metrics["slipway_agent_links"] >= float64(s.connected), err
		})
		if err != nil {
			return err
		}
	}
	linked := time.Since(began)
	err := s.healthy(ctx, n)
	log.Printf("scale: %d agents connected: links after %s, health after %s", n, linked.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	return err
}
