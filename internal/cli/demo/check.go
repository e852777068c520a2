package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
)

// checkCommand verifies a machine's own shop over HTTP, as the smoke test of a
// deployment would: for a while, on every page, release and configuration.
func checkCommand() *cobra.Command {
	var state, release, environment string
	var during time.Duration
	cmd := &cobra.Command{
		Use: "check", Short: "Verify the shop of this machine over HTTP",
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, ok, err := shop.Current(state)
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("no shop runs here")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), during+20*time.Second)
			defer cancel()
			pages, err := check(ctx, running.Address, release, environment, during)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d pages of %s are right.\n", pages, release)
			return err
		},
	}
	required(cmd, map[string]*string{"state": &state, "release": &release, "environment": &environment})
	cmd.Flags().DurationVar(&during, "for", time.Second, "how long")
	return cmd
}

func check(ctx context.Context, address, release, environment string, during time.Duration) (pages int, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	over := time.NewTimer(during)
	defer over.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, path := range []string{"/", "/product/1"} {
			id, err := fetch(ctx, client, "http://"+address+path)
			if err != nil {
				return pages, err
			}
			if id.Release != release || id.Package != release || id.Environment != environment {
				return pages, fmt.Errorf("%s serves %+v, want release %s in %s", address, id, release, environment)
			}
			pages++
		}
		select {
		case <-ctx.Done():
			return pages, context.Cause(ctx)
		case <-over.C:
			return pages, nil
		case <-tick.C:
		}
	}
}

func fetch(ctx context.Context, client *http.Client, url string) (shop.Identity, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return shop.Identity{}, fmt.Errorf("check shop: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return shop.Identity{}, fmt.Errorf("check shop: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return shop.Identity{}, fmt.Errorf("check shop: %w", err)
	}
	id, ok := shop.Find(body)
	if resp.StatusCode != http.StatusOK || !ok {
		return shop.Identity{}, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return id, nil
}
