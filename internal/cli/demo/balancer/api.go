package balancer

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxDrain bounds how long a drain waits for a machine's last request.
const maxDrain = 20 * time.Second

// API is the balancer's own interface, for whoever has the token:
//
//	GET    /sites/{site}                     the pool
//	PUT    /sites/{site}/holding             true or false
//	PUT    /sites/{site}/machines/{machine}  a Backend: into the pool
//	DELETE /sites/{site}/machines/{machine}  out of it, answered once drained
func (b *Balancer) API(token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sites/{site}", func(w http.ResponseWriter, r *http.Request) {
		state, ok := b.State(r.PathValue("site"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(state)
	})
	mux.HandleFunc("PUT /sites/{site}/holding", func(w http.ResponseWriter, r *http.Request) {
		var on bool
		if decode(w, r, &on) {
			answer(w, b.SetHolding(r.PathValue("site"), on))
		}
	})
	mux.HandleFunc("PUT /sites/{site}/machines/{machine}", func(w http.ResponseWriter, r *http.Request) {
		var entry Backend
		if decode(w, r, &entry) {
			entry.Machine = r.PathValue("machine")
			answer(w, b.Add(r.PathValue("site"), entry))
		}
	})
	mux.HandleFunc("DELETE /sites/{site}/machines/{machine}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxDrain)
		defer cancel()
		answer(w, b.Drain(ctx, r.PathValue("site"), r.PathValue("machine")))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// Remote speaks to a balancer's API.
type Remote struct {
	URL   string
	Token string
}

// SetHolding turns the holding page on or off.
func (r Remote) SetHolding(ctx context.Context, site string, on bool) error {
	return r.call(ctx, http.MethodPut, []string{"sites", site, "holding"}, on, nil)
}

// Add puts a machine into the pool.
func (r Remote) Add(ctx context.Context, site string, entry Backend) error {
	return r.call(ctx, http.MethodPut, []string{"sites", site, "machines", entry.Machine}, entry, nil)
}

// Drain takes a machine out and returns once its last request is answered.
func (r Remote) Drain(ctx context.Context, site, machine string) error {
	return r.call(ctx, http.MethodDelete, []string{"sites", site, "machines", machine}, nil, nil)
}

// State lists the pool.
func (r Remote) State(ctx context.Context, site string) (State, error) {
	var state State
	return state, r.call(ctx, http.MethodGet, []string{"sites", site}, nil, &state)
}

func (r Remote) call(ctx context.Context, method string, path []string, body, out any) error {
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask balancer: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL+"/"+strings.Join(path, "/"), bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("ask balancer: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask balancer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask balancer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the balancer answered %s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
