package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// agent dials the server and does what it says until the connection ends.
func agent(server, pin, dir string) error {
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", server, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		InsecureSkipVerify: true, // the pin below is the check
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if sum := sha256.Sum256(raw[0]); hex.EncodeToString(sum[:]) != pin {
				return errors.New("the server has another certificate")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	var buf []byte
	values := map[string]string{}
	for serial := 0; ; {
		var kind byte
		if kind, buf, err = readFrame(conn, buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var out []byte
		switch kind {
		case frameValues:
			if err := json.Unmarshal(buf, &values); err != nil {
				return err
			}
			continue
		case frameScript:
			out, err = bash(dir, string(buf))
		case framePackage:
			serial++
			out, err = install(dir, serial, buf, values)
		default:
			return fmt.Errorf("frame of kind %d", kind)
		}
		if err := reply(conn, out, err); err != nil {
			return err
		}
	}
}

func reply(w io.Writer, out []byte, err error) error {
	code := byte(0)
	if err != nil {
		code = 1
		out = fmt.Appendf(out, "%v", err)
	}
	return writeFrame(w, frameResult, append([]byte{code}, out...))
}

// install extracts, configures, runs PostDeploy.sh and flips the link "current".
func install(dir string, serial int, archive []byte, values map[string]string) ([]byte, error) {
	name := strconv.Itoa(serial)
	target := filepath.Join(dir, name)
	if err := extract(target, archive); err != nil {
		return nil, err
	}
	config := filepath.Join(target, "appsettings.json")
	text, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	var pairs []string
	for k, v := range values {
		pairs = append(pairs, "#{"+k+"}", v)
	}
	if err := os.WriteFile(config, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		return nil, err
	}
	script, err := os.ReadFile(filepath.Join(target, "PostDeploy.sh"))
	if err != nil {
		return nil, err
	}
	out, err := bash(target, string(script))
	if err != nil {
		return out, err
	}
	next := filepath.Join(dir, "next")
	if err := os.Symlink(name, next); err != nil {
		return out, err
	}
	return out, os.Rename(next, filepath.Join(dir, "current"))
}

func extract(target string, archive []byte) error {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range z.File {
		if err := extractFile(root, f); err != nil {
			return err
		}
	}
	return nil
}

func extractFile(root *os.Root, f *zip.File) error {
	if err := root.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
		return err
	}
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := root.Create(f.Name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

func bash(dir, script string) ([]byte, error) {
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
