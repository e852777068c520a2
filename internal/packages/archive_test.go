package packages_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
)

var modified = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

type member struct {
	name, body string
	mode       fs.FileMode
	kind       byte // tar's type flag
	link       string
}

func zipOf(tb testing.TB, members ...member) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: modified}
		h.SetMode(m.mode | 0o644)
		if strings.HasSuffix(m.name, "/") {
			h.Method = zip.Store
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := f.Write([]byte(m.body)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func tarOf(tb testing.TB, members ...member) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: int64(m.mode | 0o644), Typeflag: m.kind, Linkname: m.link, ModTime: modified}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(m.body))
		}
		if err := w.WriteHeader(h); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(m.body)[:h.Size]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(raw); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func inspect(raw []byte, ext string) (packages.Manifest, error) {
	return packages.Inspect(bytes.NewReader(raw), int64(len(raw)), ext)
}

func extract(t *testing.T, raw []byte, ext string, windows bool) (string, packages.Extracted, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := packages.Extract(t.Context(), packages.Source{Reader: bytes.NewReader(raw), Size: int64(len(raw)), Ext: ext}, root,
		packages.ExtractOptions{Limits: packages.DefaultLimits(), Windows: windows, Now: modified.Add(time.Hour)})
	return dir, got, err
}

func TestExtract(t *testing.T) {
	t.Parallel()
	members := []member{
		{name: "bin/", mode: fs.ModeDir | 0o755},
		{name: "bin/run.sh", body: "#!/bin/sh\n", mode: 0o755 | fs.ModeSetuid},
		{name: "deep/er/a.txt", body: "hello"},
		{name: "empty.txt"},
	}
	tarMembers := slices.Clone(members)
	tarMembers[0].kind = tar.TypeDir
	tarMembers[1].mode = 0o6755
	tarMembers = append([]member{{name: "./", kind: tar.TypeDir, mode: 0o755}}, tarMembers...)
	for ext, raw := range map[string][]byte{
		".zip": zipOf(t, members...), ".ZIP": zipOf(t, members...),
		".tar": tarOf(t, tarMembers...), ".tar.gz": gzipped(t, tarOf(t, tarMembers...)), ".tgz": gzipped(t, tarOf(t, tarMembers...)),
	} {
		dir, got, err := extract(t, raw, ext, true)
		if err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
		want := []string{"bin/run.sh", "deep/er/a.txt", "empty.txt"}
		if diff := cmp.Diff(want, got.Files); diff != "" || got.Bytes != 15 {
			t.Errorf("%s: %s %d", ext, diff, got.Bytes)
		}
		info, err := os.Stat(filepath.Join(dir, "bin/run.sh"))
		if err != nil {
			t.Fatal(err)
		}
		// abuse 45: no setuid.
		if runtime.GOOS != "windows" && info.Mode() != 0o755 {
			t.Errorf("%s: mode %v", ext, info.Mode())
		}
		if !info.ModTime().Equal(modified) {
			t.Errorf("%s: time %v", ext, info.ModTime())
		}
		m, err := inspect(raw, ext)
		if err != nil || len(m.Files) != 3 || m.Bytes != 15 || m.Unportable != nil {
			t.Errorf("%s: %+v %v", ext, m, err)
		}
		if m.Files[1].SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
			t.Errorf("%s: %+v", ext, m.Files[1])
		}
	}
}

func TestBackslashNamesOfOldTools(t *testing.T) {
	t.Parallel()
	dir, _, err := extract(t, zipOf(t, member{name: `bin\`, mode: 0}, member{name: `bin\a.dll`, body: "x"}), ".zip", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bin", "a.dll")); err != nil {
		t.Error(err)
	}
}

func TestNupkg(t *testing.T) {
	t.Parallel()
	raw := zipOf(
		t,
		member{name: "_rels/.rels", body: "r"},
		member{name: "My.App.nuspec", body: "\ufeff<package xmlns=\"http://x\"><metadata><id>My.App</id><version> 1.2.3 </version><description>d</description></metadata></package>"},
		member{name: "[Content_Types].xml", body: "c"},
		member{name: "package/services/metadata/core-properties/1.psmdcp", body: "m"},
		member{name: "content/a%20b.txt", body: "x"},
	)
	m, err := inspect(raw, ".nupkg")
	if err != nil || m.Nuspec == nil || m.Nuspec.ID != "My.App" || m.Nuspec.Version != "1.2.3" || m.Nuspec.Description != "d" {
		t.Fatalf("%+v %v", m.Nuspec, err)
	}
	_, got, err := extract(t, raw, ".nupkg", false)
	if diff := cmp.Diff([]string{"content/a b.txt"}, got.Files); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// abuse 43-46, 48: each is refused whole, with the entry's name.
func TestHostileEntries(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	names := []string{
		"../evil", "a/../../evil", "/etc/passwd", `C:\evil`, "c:/evil", `\\server\share`, `..\evil`, `a/b\..\c`, `a\..\..\evil`,
		"%2e%2e/evil", "a/%2E%2e/%2e./evil", "%2fevil", "a\x00b", "a\nb", "a\x1b[31m", "a\xc0\xaeb", long, strings.Repeat("d/", 600) + "f",
	}
	for _, name := range names {
		good := member{name: "ok.txt", body: "ok"}
		archives := map[string][]byte{".zip": zipOf(t, good, member{name: name, body: "x"})}
		archives[".nupkg"] = archives[".zip"]
		if !strings.Contains(name, "\x00") {
			archives[".tar.gz"] = gzipped(t, tarOf(t, good, member{name: name, body: "x"}))
		}
		for ext, raw := range archives {
			checkRefused(t, raw, ext, name)
		}
	}
}

func checkRefused(t *testing.T, raw []byte, ext, what string) {
	t.Helper()
	if _, err := inspect(raw, ext); resource.CodeOf(err) != resource.Invalid {
		t.Errorf("abuse 43: %s %q: Inspect: %v", ext, what, err)
	}
	dir, _, err := extract(t, raw, ext, false)
	if resource.CodeOf(err) != resource.Invalid {
		t.Errorf("%s %q: Extract: %v", ext, what, err)
	}
	if entries, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "evil*")); len(entries) > 0 {
		t.Errorf("%s %q: wrote %v", ext, what, entries)
	}
}

func TestHostileTarEntries(t *testing.T) {
	t.Parallel()
	file := member{name: "a.txt", body: "x"}
	cases := map[string][]member{
		"link out":           {{name: "l", kind: tar.TypeSymlink, link: "../../etc/passwd"}},
		"absolute link":      {{name: "l", kind: tar.TypeSymlink, link: "/etc/passwd"}},
		"write through link": {file, {name: "l", kind: tar.TypeSymlink, link: "d"}, {name: "l/x", body: "x"}},
		"link, then file":    {{name: "l", kind: tar.TypeSymlink, link: "d"}, {name: "l", body: "x"}},
		"hard link out":      {{name: "l", kind: tar.TypeLink, link: "/etc/passwd"}},
		"hard link to later": {{name: "l", kind: tar.TypeLink, link: "a.txt"}, file},
		"device":             {{name: "d", kind: tar.TypeChar}},
		"fifo":               {{name: "d", kind: tar.TypeFifo}},
		"duplicate":          {file, file},
		"file as folder":     {file, {name: "a.txt/b", body: "x"}},
		"folder, then file":  {{name: "d/a", body: "x"}, {name: "d", body: "y"}},
		"same after clean":   {file, {name: "./a.txt", body: "y"}},
	}
	for what, members := range cases {
		checkRefused(t, gzipped(t, tarOf(t, members...)), ".tar.gz", what)
	}
	two := append(tarOf(t, file), tarOf(t, member{name: "b", body: "y"})...)
	checkRefused(t, gzipped(t, two), ".tar.gz", "second archive behind the first")
	cut := gzipped(t, tarOf(t, file))
	checkRefused(t, cut[:len(cut)-4], ".tar.gz", "cut off")
}

func TestLinksInsideAreLeftOut(t *testing.T) {
	t.Parallel()
	raw := gzipped(t, tarOf(
		t, member{name: "lib.so.1", body: "elf"}, member{name: "lib.so", kind: tar.TypeSymlink, link: "./lib.so.1"},
		member{name: "twin", kind: tar.TypeLink, link: "lib.so.1"},
	))
	dir, got, err := extract(t, raw, ".tar.gz", false)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "lib.so") {
		t.Fatal(got, err)
	}
	if twin, err := os.ReadFile(filepath.Join(dir, "twin")); string(twin) != "elf" {
		t.Error(string(twin), err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "lib.so")); err == nil {
		t.Error("link was created")
	}
	zipped := zipOf(t, member{name: "l", body: "../../x", mode: fs.ModeSymlink})
	checkRefused(t, zipped, ".zip", "zip link out")
}

// abuse 46: only Windows refuses what only Windows cannot hold.
func TestNamesForWindows(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{
		{"CON"},
		{"a/nul.txt"},
		{"com1.log"},
		{"LPT³"},
		{"trailing."},
		{"trailing "},
		{"ab:c"},
		{"a?"},
		{"Readme", "README"},
		{"d/x", "D/y"},
		{"\u00e9", "e\u0301"},
	} {
		var members []member
		for _, name := range names {
			members = append(members, member{name: name, body: "x"})
		}
		raw := zipOf(t, members...)
		if m, err := inspect(raw, ".zip"); err != nil || m.Unportable == nil {
			t.Errorf("%q: %v %v", names, m.Unportable, err)
		}
		if _, _, err := extract(t, raw, ".zip", true); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%q: Windows: %v", names, err)
		}
		if runtime.GOOS == "linux" {
			if _, _, err := extract(t, raw, ".zip", false); err != nil {
				t.Errorf("%q: Linux: %v", names, err)
			}
		}
	}
}

// abuse 47: ratio, entries, sizes that lie.
func TestBombs(t *testing.T) {
	t.Parallel()
	bomb := zipOf(t, member{name: "zeros", body: strings.Repeat("\x00", 32<<20)})
	for ext, raw := range map[string][]byte{".zip": bomb, ".tar.gz": gzipped(t, tarOf(t, member{name: "zeros", body: strings.Repeat("\x00", 32<<20)}))} {
		if _, err := inspect(raw, ext); resource.CodeOf(err) != resource.TooLarge {
			t.Errorf("abuse 47: %s: %v", ext, err)
		}
		if _, _, err := extract(t, raw, ext, false); resource.CodeOf(err) != resource.TooLarge {
			t.Errorf("abuse 47: %s: %v", ext, err)
		}
	}
	if _, err := inspect(zipOf(t, member{name: "zeros", body: strings.Repeat("\x00", 900<<10)}), ".zip"); err != nil {
		t.Errorf("small and dense: %v", err)
	}
	links := []member{{name: "a", body: strings.Repeat("ab", 300<<10)}}
	for i := range 200 {
		links = append(links, member{name: "l" + strings.Repeat("x", i), kind: tar.TypeLink, link: "a"})
	}
	if _, err := inspect(gzipped(t, tarOf(t, links...)), ".tar.gz"); resource.CodeOf(err) != resource.TooLarge {
		t.Errorf("hard links: %v", err)
	}
	var many bytes.Buffer
	w := zip.NewWriter(&many)
	for i := range 200_001 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(many.Bytes(), ".zip"); resource.CodeOf(err) != resource.TooLarge {
		t.Errorf("entries: %v", err)
	}
}

// abuse 47, 48: what the two halves of a zip file say must be the same.
func TestZipDifferentials(t *testing.T) {
	t.Parallel()
	good := zipOf(t, member{name: "one.txt", body: "first"}, member{name: "two.txt", body: "second"})
	if _, err := inspect(good, ".zip"); err != nil {
		t.Fatal(err)
	}
	directory := bytes.Index(good, []byte("PK\x01\x02"))
	second := bytes.Index(good[directory+4:], []byte("PK\x01\x02")) + directory + 4
	end := bytes.Index(good, []byte("PK\x05\x06"))
	cases := map[string]func(b []byte) []byte{
		"local name":      func(b []byte) []byte { b[30] = 'X'; return b },
		"directory name":  func(b []byte) []byte { b[directory+46] = 'X'; return b },
		"method":          func(b []byte) []byte { b[8] = 0; return b },
		"plain size":      func(b []byte) []byte { binary.LittleEndian.PutUint32(b[directory+24:], 3); return b },
		"packed size":     func(b []byte) []byte { binary.LittleEndian.PutUint32(b[directory+20:], 1<<20); return b },
		"checksum":        func(b []byte) []byte { b[directory+16] ^= 1; return b },
		"encrypted":       func(b []byte) []byte { b[directory+8] |= 1; b[6] |= 1; return b },
		"junk before end": func(b []byte) []byte { return slices.Insert(b, end, []byte("0123456789")...) },
		"overlap": func(b []byte) []byte {
			copy(b[second+42:second+46], b[directory+42:directory+46])
			copy(b[second+46:], b[directory+46:directory+53])
			return b
		},
		"record hidden": func(b []byte) []byte {
			b = slices.Delete(b, second, end)
			at := bytes.Index(b, []byte("PK\x05\x06"))
			b[at+8], b[at+10] = 1, 1
			binary.LittleEndian.PutUint32(b[at+12:], uint32(second-directory))
			return b
		},
		"count":           func(b []byte) []byte { b[end+10] = 1; return b },
		"prefix":          func(b []byte) []byte { return append([]byte("MZstub"), b...) },
		"trailing":        func(b []byte) []byte { return append(b, 'x') },
		"end in comment":  func(b []byte) []byte { b = append(b, b[end:]...); b[end+20] = 22; return b },
		"cut":             func(b []byte) []byte { return b[:len(b)-30] },
		"not a zip":       func([]byte) []byte { return []byte("<html>") },
		"empty":           func([]byte) []byte { return nil },
		"offset overflow": func(b []byte) []byte { binary.LittleEndian.PutUint32(b[end+16:], 0xfffffff0); return b },
	}
	for what, change := range cases {
		checkRefused(t, change(slices.Clone(good)), ".zip", what)
	}
	checkRefused(t, zipOf(t, member{name: "a", body: "1"}, member{name: "a", body: "2"}), ".zip", "duplicate")
	checkRefused(t, good, ".rar", "unknown extension")
	checkRefused(t, nested(t), ".zip", "entry inside another's data")
	empty := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	behind := shifted(t, int64(len(empty)))
	binary.LittleEndian.PutUint16(empty[20:], uint16(len(behind)))
	checkRefused(t, append(empty, behind...), ".zip", "archive in the comment of another")
}

func stored(t *testing.T, w *zip.Writer, name string, body []byte) {
	t.Helper()
	f, err := w.CreateRaw(&zip.FileHeader{
		Name: name, CRC32: crc32.ChecksumIEEE(body), CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(body); err != nil {
		t.Fatal(err)
	}
}

// nested is an archive of a.bin and b.txt, the second of which lies in the
// content of the first.
func nested(t *testing.T) []byte {
	t.Helper()
	var inner, outer bytes.Buffer
	w := zip.NewWriter(&inner)
	stored(t, w, "b.txt", []byte("inner"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content, _, _ := bytes.Cut(inner.Bytes(), []byte("PK\x01\x02"))
	w = zip.NewWriter(&outer)
	stored(t, w, "a.bin", content)
	stored(t, w, "b.txt", []byte("inner"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := outer.Bytes()
	directory := bytes.Index(b, []byte("PK\x01\x02"))
	second := bytes.LastIndex(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[second+42:], 30+uint32(len("a.bin")))
	b = slices.Delete(b, directory-len(content), directory)
	end := bytes.LastIndex(b, []byte("PK\x05\x06"))
	binary.LittleEndian.PutUint32(b[end+16:], uint32(directory-len(content)))
	return b
}

// shifted is an archive for the place in a file that is given.
func shifted(t *testing.T, offset int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.SetOffset(offset)
	stored(t, w, "b.txt", []byte("body"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is in the folder already is never written over, and the caller's own
// limits count.
func TestExtractIntoUsedFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := tarOf(t, member{name: "a", body: "x"}, member{name: "b"}, member{name: "c"})
	src := packages.Source{Reader: bytes.NewReader(raw), Size: int64(len(raw)), Ext: ".tar"}
	if _, err := packages.Extract(t.Context(), src, root, packages.ExtractOptions{Limits: packages.DefaultLimits()}); resource.CodeOf(err) != resource.Invalid {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a")); string(got) != "mine" {
		t.Error(string(got), err)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	limits := packages.DefaultLimits()
	limits.Entries = 2
	if _, err := packages.Extract(t.Context(), src, root, packages.ExtractOptions{Limits: limits}); resource.CodeOf(err) != resource.TooLarge {
		t.Error(err)
	}
}

func TestFullDiskIsNotTheArchivesFault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	root.Close()
	raw := zipOf(t, member{name: "a", body: "x"})
	_, err = packages.Extract(t.Context(), packages.Source{Reader: bytes.NewReader(raw), Size: int64(len(raw)), Ext: ".zip"}, root,
		packages.ExtractOptions{Limits: packages.DefaultLimits()})
	if resource.CodeOf(err) != resource.Internal {
		t.Errorf("%v", err)
	}
}

func FuzzArchives(f *testing.F) {
	f.Add(zipOf(f, member{name: "a/b.txt", body: "hello"}, member{name: "c"}), uint8(0))
	f.Add(zipOf(f, member{name: "a%20.nuspec", body: "<package><metadata><id>a</id></metadata></package>"}), uint8(1))
	f.Add(gzipped(f, tarOf(f, member{name: "a", body: "x"}, member{name: "l", kind: tar.TypeLink, link: "a"})), uint8(2))
	f.Add(tarOf(f, member{name: "s", kind: tar.TypeSymlink, link: "../x"}), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		ext := []string{".zip", ".nupkg", ".tar.gz", ".tar"}[which%4]
		m, inspectErr := inspect(raw, ext)
		_, got, err := extract(t, raw, ext, false)
		if (err == nil) != (inspectErr == nil) {
			t.Fatalf("Inspect: %v, Extract: %v", inspectErr, err)
		}
		if err == nil && (len(got.Files) != len(m.Files) || got.Bytes != m.Bytes) {
			t.Fatalf("Inspect saw %d files, Extract %d", len(m.Files), len(got.Files))
		}
	})
}
