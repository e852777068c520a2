package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

const (
	hello    = "hello\n"
	helloSum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
)

// A download that is not what was announced is an error, whatever went wrong.
func TestDownloadIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		about, content string
		want           resource.Code
	}{
		"as announced":         {fmt.Sprintf(`{"Id":"Artifacts-1","Size":6,"Sha256":%q}`, helloSum), hello, ""},
		"by another server":    {`{"Id":"Artifacts-1"}`, hello, ""},
		"too short":            {fmt.Sprintf(`{"Id":"Artifacts-1","Size":6,"Sha256":%q}`, helloSum), "hell", resource.Unavailable},
		"too long":             {fmt.Sprintf(`{"Id":"Artifacts-1","Size":6,"Sha256":%q}`, helloSum), strings.Repeat(hello, 1000), resource.Unavailable},
		"other bytes":          {fmt.Sprintf(`{"Id":"Artifacts-1","Size":6,"Sha256":%q}`, helloSum), "HELLO\n", resource.Unavailable},
		"empty, though of one": {`{"Id":"Artifacts-1","Size":1}`, "", resource.Unavailable},
		"empty, as announced":  {`{"Id":"Artifacts-1","Size":0}`, "", ""},
	} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/artifacts/Artifacts-1":
				fmt.Fprint(w, c.about)
			case "/api/artifacts/Artifacts-1/content":
				fmt.Fprint(w, c.content)
			default:
				http.NotFound(w, r)
			}
		})
		cl := open(t, client.Config{URL: server.URL})
		a, err := cl.Artifact(t.Context(), "Artifacts-1")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got bytes.Buffer
		err = cl.Download(t.Context(), a, &got)
		if resource.CodeOf(err) != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if got.Len() > len(hello)+1 {
			t.Errorf("%s: %d bytes of an endless answer were written", name, got.Len())
		}
	}
}

// full is a disk without room.
type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

// A disk that is full is not the server's fault.
func TestDownloadSaysWhoFailed(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, hello) })
	err := open(t, client.Config{URL: server.URL}).Download(t.Context(), client.Artifact{ID: "Artifacts-1"}, full{})
	if _, lost := errors.AsType[*client.UnreachableError](err); lost || !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
