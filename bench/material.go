package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// release is one version of the benchmark's package, as a folder and as a zip.
type release struct {
	Version string
	Tree    string            // the files, for rsync
	Zip     string            // the same files, about 20 MB
	Values  map[string]string // the five values its appsettings.json asks for
	JSON    string            // a file with Values as a JSON object
}

const (
	scriptText = "echo hello\n"
	// deployName is a script that the package brings and that runs in its folder.
	deployName = "PostDeploy.sh"
	deployText = "cp version.txt deployed.txt\necho deployed\n"
)

// makeRelease writes version n below dir: 150 files that do not compress and
// 50 that do. No byte of one version's files is in another's, so every
// contender has to send all of it.
func makeRelease(dir string, n int) (release, error) {
	version := fmt.Sprintf("1.0.%d", n)
	r := release{
		Version: version, Tree: filepath.Join(dir, version), Zip: filepath.Join(dir, "Bench."+version+".zip"),
		JSON: filepath.Join(dir, version+".json"), Values: map[string]string{},
	}
	for _, name := range []string{"Db", "Host", "Port", "Level", "Release"} {
		r.Values[name] = strings.ToLower(name) + "-" + version
	}
	files := map[string][]byte{
		"appsettings.json": settings(),
		"version.txt":      []byte(version),
		deployName:         []byte(deployText),
	}
	random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 1})
	words := rand.New(random)
	for i := range 200 {
		body := make([]byte, 120<<10)
		if _, err := random.Read(body); err != nil {
			return r, err
		}
		if i%4 == 0 {
			for j := range body {
				body[j] = "etaoin shrdlu\n{}"[words.IntN(16)]
			}
		}
		files[fmt.Sprintf("lib/%02d/file%03d.bin", i%10, i)] = body
	}
	if err := writeTree(r.Tree, files); err != nil {
		return r, err
	}
	if err := writeZip(r.Zip, r.Tree); err != nil {
		return r, err
	}
	values, err := json.Marshal(r.Values)
	if err != nil {
		return r, err
	}
	return r, os.WriteFile(r.JSON, values, 0o600)
}

func settings() []byte {
	return []byte(`{
  "ConnectionStrings": { "Main": "Server=#{Db};Encrypt=true" },
  "Host": "#{Host}",
  "Port": "#{Port}",
  "Logging": { "LogLevel": { "Default": "#{Level}" } },
  "Release": "#{Release}"
}
`)
}

func writeTree(root string, files map[string][]byte) error {
	for name, body := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeZip(path, tree string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	root := os.DirFS(tree)
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		w, err := z.Create(name)
		if err != nil {
			return err
		}
		_, err = w.Write(body)
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}

// verify counts the installations of the release below dir that are configured
// and whose script ran. A contender that did not do the work has no figure.
func (r release) verify(dir string, want int) error {
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "deployed.txt" {
			return err
		}
		version, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		config, err := os.ReadFile(filepath.Join(filepath.Dir(path), "appsettings.json"))
		if err != nil {
			return err
		}
		if string(version) != r.Version {
			return nil
		}
		for _, v := range r.Values {
			if !strings.Contains(string(config), v) {
				return fmt.Errorf("%s lacks the value %q", path, v)
			}
		}
		found++
		return nil
	})
	if err == nil && found != want {
		err = fmt.Errorf("%d of %d installations of %s are complete below %s", found, want, r.Version, dir)
	}
	return err
}
