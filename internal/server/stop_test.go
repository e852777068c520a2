package server_test

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/server"
)

// upload is a push of a package that is under way: the server has read its
// head and waits for the body.
type upload struct {
	body   *io.PipeWriter
	form   *multipart.Writer
	answer chan error // nil: stored
}

func (r *running) upload() *upload {
	r.t.Helper()
	body, w := io.Pipe()
	up := &upload{body: w, form: multipart.NewWriter(w), answer: make(chan error, 1)}
	reading := make(chan struct{})
	ctx := httptrace.WithClientTrace(r.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url("/api/packages/raw"), body)
	check(r.t, err)
	req.Header.Set("X-Octopus-Apikey", r.key)
	req.Header.Set("Content-Type", up.form.FormDataContentType())
	req.Header.Set("Expect", "100-continue")
	go func() {
		res, err := r.http.Do(req)
		if err == nil {
			text, readErr := io.ReadAll(res.Body)
			if err = readErr; err == nil && res.StatusCode != http.StatusCreated {
				err = errors.New(res.Status + " " + string(text))
			}
			_ = res.Body.Close()
		}
		up.answer <- err
	}()
	select {
	case <-reading:
	case err := <-up.answer:
		r.t.Fatalf("refused at once: %v", err)
	}
	return up
}

// finish sends the package.
func (u *upload) finish(t *testing.T) {
	t.Helper()
	part, err := u.form.CreateFormFile("file", "Acme.Web.1.0.0.zip")
	check(t, err)
	_, err = io.WriteString(part, "PK\x05\x06"+strings.Repeat("\x00", 18)) // an empty archive
	check(t, errors.Join(err, u.form.Close(), u.body.Close()))
}

// A request that is under way when the server is asked to stop is answered;
// new ones find the socket closed.
func TestStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	r := run(t, cfg)
	up := r.upload()
	r.end(errors.New("the test stops the server"))
	for _, address := range []string{r.Addr().String(), r.AgentsAddr().String(), r.MetricsAddr().String()} {
		closed(t, address)
	}
	select {
	case <-r.ended:
		t.Error("stopped with a request under way")
	case err := <-up.answer:
		t.Fatalf("the request was cut off: %v", err)
	default:
	}
	up.finish(t)
	if err := <-up.answer; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	r.stop()
	r = run(t, cfg)
	var list struct{ TotalResults int }
	r.must(http.MethodGet, "/api/packages", nil, &list)
	if list.TotalResults != 1 {
		t.Errorf("%d packages after the restart", list.TotalResults)
	}
	r.stop()
}

// A request that never ends does not hold the server up for longer than the
// grace it was given.
func TestStopEndsInTime(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	cfg.Grace = 100 * time.Millisecond
	r := run(t, cfg)
	up := r.upload()
	asked := time.Now()
	r.stop()
	if took := time.Since(asked); took < cfg.Grace || took > cfg.Grace+4*time.Second {
		t.Errorf("stopped after %s", took)
	}
	_ = up.body.CloseWithError(errors.New("the client gives up")) // it waits for its own body otherwise
	if err := <-up.answer; err == nil {
		t.Error("a package without an end was stored")
	}
}

// A stop is no failure, whenever it comes: before the server has begun, while
// it takes over what the last run left, or while it registers its worker.
func TestStopAtAnyTime(t *testing.T) {
	t.Parallel()
	cfg := later(t)
	for i := range 20 {
		w := newWorker(t, "ends")
		if i%2 > 0 { // another identity each time, which has to be written
			w.thumbprint, w.subscription = keyB, subB
		}
		cfg.Worker = w
		r := open(t, cfg)
		sockets := []string{r.Addr().String(), r.AgentsAddr().String(), r.MetricsAddr().String()}
		ctx, end := context.WithCancelCause(t.Context())
		soon := func() {
			time.AfterFunc(time.Duration(i)*100*time.Microsecond, func() { end(errors.New("the test stops the server")) })
		}
		switch {
		case i == 0:
			end(errors.New("stopped at once"))
		case i%3 == 0:
			soon()
		default:
			w.preparing = soon
		}
		if err := r.Run(ctx); err != nil {
			t.Errorf("stopped %d: %v", i, err)
		}
		end(nil)
		check(t, r.close())
		for _, address := range sockets {
			closed(t, address)
		}
	}
}

// A part that fails by itself ends the server with its error, also when a stop
// comes while the others are ending.
func TestFailureBeforeTheStop(t *testing.T) {
	t.Parallel()
	cfg, w := later(t), newWorker(t, "stays")
	w.err = errors.New("the disk is full")
	cfg.Worker = w
	r := open(t, cfg)
	up := make(chan *upload, 1)
	w.preparing = func() { up <- r.upload() } // which keeps the API from ending
	r.serve()
	pending := <-up
	closed(t, r.Addr().String())
	r.end(errors.New("the test stops the server"))
	pending.finish(t)
	if err := <-pending.answer; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	<-r.ended
	if !errors.Is(r.err, w.err) {
		t.Errorf("Run: %v", r.err)
	}
	r.err = nil
}

// A server that cannot be made with a context that has ended leaves nothing
// behind either.
func TestStopWhileOpening(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	ctx, end := context.WithCancelCause(t.Context())
	end(errors.New("stopped at once"))
	s, err := server.New(ctx, cfg)
	if err == nil || s != nil || resource.CodeOf(err) == resource.Invalid {
		t.Errorf("made all the same: %v", err)
	}
	run(t, cfg).stop()
}
