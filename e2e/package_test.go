//go:build unix

package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/client"
)

// tarball is a .tar.gz with those entries.
func tarball(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	w := tar.NewWriter(z)
	for _, h := range entries {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// files are the names of all files below a folder.
func files(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What no machine should unpack is refused when it is pushed, with the entry's
// name, and nothing of it stays (abuse 43 to 49).
func TestPackageRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	good := zipped(t, map[string]string{"a.txt": strings.Repeat("content ", 1000)})
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
	}
	tests := map[string]struct {
		file string
		text []byte
		code int
		says string
	}{
		"no archive":       {"App.1.0.0.zip", []byte("hello"), 1, ""},
		"truncated":        {"App.1.0.1.zip", good[:len(good)-30], 1, ""},
		"truncated gzip":   {"App.1.0.2.tar.gz", tarball(t, tar.Header{Name: "a", Size: 5000})[:60], 1, ""},
		"up and out":       {"App.1.0.3.zip", zipped(t, map[string]string{"a/../../evil.txt": "x"}), 1, "evil.txt"}, // abuse 43
		"absolute":         {"App.1.0.4.zip", zipped(t, map[string]string{"/etc/evil.txt": "x"}), 1, "evil.txt"},
		"a drive":          {"App.1.0.5.zip", zipped(t, map[string]string{`C:\evil.txt`: "x"}), 1, "evil.txt"},
		"backslashes":      {"App.1.0.6.zip", zipped(t, map[string]string{`a\..\..\evil.txt`: "x"}), 1, "evil.txt"},
		"absolute in tar":  {"App.1.0.7.tar.gz", tarball(t, tar.Header{Name: "/evil.txt"}), 1, "evil.txt"},
		"link out":         {"App.1.0.8.tar.gz", tarball(t, link("evil", "../../etc")), 1, "evil"},                              // abuse 44
		"device":           {"App.1.0.9.tar.gz", tarball(t, tar.Header{Name: "evil", Typeflag: tar.TypeFifo}), 1, "evil"},       // abuse 45
		"twice":            {"App.1.1.0.tar.gz", tarball(t, tar.Header{Name: "evil"}, tar.Header{Name: "evil"}), 1, "evil"},     // abuse 48
		"bomb":             {"App.1.1.1.zip", zipped(t, map[string]string{"evil.txt": strings.Repeat("\x00", 300<<20)}), 1, ""}, // abuse 47
		"no version":       {"App.zip", good, 1, ""},
		"name is a path":   {"..%2fApp.1.1.2.zip", good, 1, ""}, // abuse 49
		"name is a switch": {"-rf.1.1.3.zip", good, 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(file, tt.text, 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.cli(t, "package", "push", "--", file)
			if r.code != tt.code || !strings.Contains(r.stderr, "Error: ") || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("want exit code %d and an error with %q, got %v", tt.code, tt.says, r)
			}
		})
	}
	t.Cleanup(func() {
		if left := files(t, filepath.Join(s.data, "blobs")); len(left) != 0 {
			t.Errorf("refused packages left %v", left)
		}
	})
}

// An upload that breaks off shortly before its end leaves nothing: no package,
// no file (abuse 52).
func TestUploadCutOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	// Stored, not packed: random enough to be as large as it says.
	text := zipped(t, map[string]string{"a.bin": random(4 << 20)})
	var body bytes.Buffer
	fmt.Fprintf(&body, "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"App.1.0.0.zip\"\r\n\r\n%s\r\n--frontier--\r\n", text)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/packages/raw HTTP/1.1\r\nHost: %s\r\nX-Octopus-ApiKey: %s\r\nContent-Type: multipart/form-data; boundary=frontier\r\nContent-Length: %d\r\n\r\n",
		s.address, s.key, body.Len())
	if _, err := conn.Write(body.Bytes()[:body.Len()*99/100]); err != nil {
		t.Fatal(err)
	}
	incoming := filepath.Join(s.data, "blobs")
	eventually(t, "the upload is on its way", func() bool { return len(files(t, incoming)) > 0 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left of the upload", func() bool { return len(files(t, incoming)) == 0 })
	if list, err := client.List[client.Package](t.Context(), s.client, "/api/packages", nil, 0); err != nil || len(list) != 0 {
		t.Errorf("packages %+v, %v", list, err)
	}
	if _, _, err := s.client.Upload(t.Context(), "App.1.0.0.zip", bytes.NewReader(text), client.FailIfExists); err != nil {
		t.Errorf("the second try: %v", err)
	}
}

// random is text that no compressor makes smaller.
func random(n int) string {
	text, x := make([]byte, n), uint64(88172645463325252)
	for i := range text {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		text[i] = byte(x)
	}
	return string(text)
}

// A release of a package that is not there is not made.
func TestPackageMissing(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "", nil)))
	r := s.cli(t, "release", "create", "--project", s.name, "--version", "1.0.0")
	if r.code != 1 {
		t.Error(r)
	}
	contains(t, "the error", r.stderr, s.app(), "package push")
	s.push("1.0.0", map[string]string{"a": "x"})
	r = s.cli(t, "release", "create", "--project", s.name, "--version", "1.0.0", "--package", s.app()+":2.0.0")
	if r.code != 1 {
		t.Error(r)
	}
	contains(t, "the error", r.stderr, s.app(), "2.0.0", "1.0.0")
}

// spoil changes a byte of the file below a folder that is called so.
func spoil(t *testing.T, folder, digest string) {
	t.Helper()
	for _, file := range files(t, folder) {
		if filepath.Base(file) == digest {
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil || len(text) == 0 {
				t.Fatalf("%d bytes, %v", len(text), err)
			}
			text[len(text)/2] ^= 1
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("there is no %s below %s", digest, folder)
}

// digest is the SHA-256 that the server has for a version of the stage's
// package.
func (s *stage) digest(version string) string {
	s.t.Helper()
	return s.get(s.t, "/api/packages/packages-"+s.app()+"."+version).Text("Sha256")
}

// A package that was altered in the server's store reaches no machine: the step
// fails and names both digests. It heals when the package is pushed again
// (fault 42, abuse 51).
func TestPackageAlteredOnTheServer(t *testing.T) {
	t.Parallel()
	s := newStage(t, newServer(t))
	m := s.machine("m")
	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), s.mark("starts"), nil)))
	s.push("1.0.0", map[string]string{"a": "x"})
	digest := s.digest("1.0.0")
	spoil(t, filepath.Join(s.data, "blobs"), digest)
	_, log := s.ship("1.0.0", "Failed")
	contains(t, "the log", log, digest, "instead of")
	if starts := s.lines("starts"); len(starts) != 0 {
		t.Errorf("scripts ran: %v", starts)
	}
	if left, _ := filepath.Glob(filepath.Join(m.apps, s.name, "*", "*")); len(left) != 0 {
		t.Errorf("installed %v", left)
	}
}

// A package that a local user alters in the machine's store between two
// deployments is not used: it is fetched again (abuse 55). One that is altered
// while it is deployed, or a file of it that is gone at the end, is red.
func TestPackageAlteredOnTheMachine(t *testing.T) {
	t.Parallel()
	s := newStage(t, sharedServer(t))
	m := s.machine("m")
	s.push("1.0.0", map[string]string{"app.txt": "one\n", "more.txt": "more\n"})
	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "", nil)))
	s.ship("1.0.0", "Success")
	digest, store := s.digest("1.0.0"), filepath.Join(m.home, "packages")

	spoil(t, store, digest)
	s.finish(s.deploy("1.0.0"), "Success")
	installed, err := filepath.Glob(filepath.Join(m.apps, s.name, "*", "1.0.0*"))
	if err != nil || len(installed) != 2 {
		t.Fatalf("installed %v, %v", installed, err)
	}
	for _, dir := range installed {
		if text, err := os.ReadFile(filepath.Join(dir, "app.txt")); err != nil || string(text) != "one\n" {
			t.Errorf("%s has %q, %v", dir, text, err)
		}
	}

	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "file=$(find '"+store+"' -name "+digest+")\nchmod u+w \"$file\"; echo altered >> \"$file\"\n", nil)))
	_, log := s.ship("2.0.0", "Failed")
	contains(t, "the log", log, "altered while it was deployed", digest)

	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "rm app.txt\n", nil)))
	_, log = s.ship("3.0.0", "Failed")
	contains(t, "the log", log, "missing", "app.txt")

	s.steps(step("Deploy", "web", "", install("Deploy", s.app(), "rm app.txt\n", map[string]any{"Slipway.Action.Package.FilesThatMayBeRemoved": "app.*"})))
	s.ship("4.0.0", "Success")
}
