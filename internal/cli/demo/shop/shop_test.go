package shop_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
)

// TestMain lets the test program be the daemon that Start starts.
func TestMain(m *testing.M) {
	if state := os.Getenv("SHOP_TEST_STATE"); state != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := shop.Serve(ctx, http.NotFoundHandler(), state, "secret")
		cancel()
		if err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func get(t *testing.T, site http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

// configured writes a package and does to it what a deployment would.
func configured(t *testing.T, database string) string {
	t.Helper()
	folder := t.TempDir()
	if err := shop.WriteSource(folder, "1.2.0", "Fine & <cheap>"); err != nil {
		t.Fatal(err)
	}
	for file, values := range map[string][2]string{
		"appsettings.json": {`"Release": "unconfigured"`, `"Release": "1.2.0"`},
		"Web.config":       {"Data Source=unconfigured", "Data Source=" + database},
	} {
		name := filepath.Join(folder, file)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(data), values[0], values[1], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestAPageSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "db", "shop.json")
	if err := shop.Migrate("Data Source="+database, 1); err != nil {
		t.Fatal(err)
	}
	site, err := shop.Open(configured(t, database), "web-1</script>")
	if err != nil {
		t.Fatal(err)
	}
	code, body := get(t, site, "/")
	id, ok := shop.Find([]byte(body))
	want := shop.Identity{Machine: "web-1</script>", Package: "1.2.0", Release: "1.2.0", Environment: "unconfigured", Database: "Data Source=" + database}
	if code != http.StatusOK || !ok || id != want {
		t.Errorf("%d, %+v, %s", code, id, body)
	}
	if !strings.Contains(body, "Anchor: 49.00") || !strings.Contains(body, "<h1>Fine &amp; &lt;cheap&gt;</h1>") {
		t.Errorf("page: %s", body)
	}
	if code, body := get(t, site, "/product/3"); code != http.StatusOK || !strings.Contains(body, "Fender") || strings.Contains(body, "Anchor") {
		t.Errorf("product: %d %s", code, body)
	}
	for _, path := range []string{"/product/0", "/product/5", "/product/x", "/nothing"} {
		if code, _ := get(t, site, path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// TestAnUnconfiguredShopFails: nobody takes it for one that works.
func TestAnUnconfiguredShopFails(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := shop.WriteSource(folder, "1.2.0", "Shop"); err != nil {
		t.Fatal(err)
	}
	site, err := shop.Open(folder, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, site, "/"); code != http.StatusInternalServerError {
		t.Errorf("%d without a database", code)
	}
	if id := site.Identity(); id.Release != "unconfigured" || id.Package != "1.2.0" {
		t.Errorf("%+v", id)
	}
}

func TestTheDatabaseMustHaveTheSchema(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "shop.json")
	data, err := json.Marshal(shop.Database{Schema: 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(database, data, 0o600); err != nil {
		t.Fatal(err)
	}
	site, err := shop.Open(configured(t, database), "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, site, "/"); code != http.StatusInternalServerError || !strings.Contains(body, "schema 0") {
		t.Errorf("%d %s", code, body)
	}
}

func TestAMigrationThatRanTwiceFails(t *testing.T) {
	t.Parallel()
	connection := "Data Source=" + filepath.Join(t.TempDir(), "shop.json")
	if err := shop.Migrate(connection, 1); err != nil {
		t.Fatal(err)
	}
	if err := shop.Migrate(connection, 1); err == nil || !strings.Contains(err.Error(), "has schema 1") {
		t.Errorf("second run: %v", err)
	}
	if err := shop.Migrate("Server=x", 1); err == nil {
		t.Error("a connection string without a database was accepted")
	}
}

// TestAnInstanceOutlivesItsStarter: started as a daemon, it serves until it is
// told to stop by who holds its token.
func TestAnInstanceOutlivesItsStarter(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// Not CommandContext: the instance is not the starter's to end.
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), "SHOP_TEST_STATE="+state)
	running, err := shop.Start(ctx, program, state)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+running.Address+"/-/stop", "", nil)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("stop without the token: %v, %v", resp, err)
	}
	resp.Body.Close()
	if err := shop.Stop(ctx, state); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := shop.Current(state); ok || err != nil {
		t.Errorf("the state is still there: %v", err)
	}
	if err := shop.Stop(ctx, state); err != nil {
		t.Errorf("stopping what does not run: %v", err)
	}
}

func TestStartSaysWhenTheInstanceEndsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	program := exec.Command(os.Args[0], "-test.run=^$")
	if _, err := shop.Start(ctx, program, filepath.Join(t.TempDir(), "state")); err == nil || !strings.Contains(err.Error(), "shop.log") {
		t.Errorf("got %v", err)
	}
}
