package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// serve waits for its agents, then does one command a line and answers each
// with "ok" or "error …" on one line:
//
//	script PATH               run the script on every agent
//	package ZIP VALUES.json   install the package on every agent
func serve(agents int, in io.Reader, out io.Writer) error {
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
	})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(cert.Certificate[0])
	fmt.Fprintf(out, "listening %s %s\n", l.Addr(), hex.EncodeToString(sum[:]))
	links := make([]net.Conn, agents)
	for i := range links {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		links[i] = conn
		if err := roundTrip(conn, []byte("true"), nil, frameScript); err != nil {
			return fmt.Errorf("greet agent: %w", err)
		}
	}
	fmt.Fprintln(out, "connected")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := command(links, strings.Fields(lines.Text())); err != nil {
			fmt.Fprintf(out, "error %q\n", err)
			continue
		}
		fmt.Fprintln(out, "ok")
	}
	return lines.Err()
}

func command(links []net.Conn, words []string) error {
	switch {
	case len(words) == 2 && words[0] == "script":
		script, err := os.ReadFile(words[1])
		if err != nil {
			return err
		}
		return toAll(links, func(c net.Conn) error { return roundTrip(c, script, nil, frameScript) })
	case len(words) == 3 && words[0] == "package":
		archive, err := os.ReadFile(words[1])
		if err != nil {
			return err
		}
		values, err := os.ReadFile(words[2])
		if err != nil {
			return err
		}
		return toAll(links, func(c net.Conn) error { return roundTrip(c, archive, values, framePackage) })
	default:
		return fmt.Errorf("no command %q", words)
	}
}

func toAll(links []net.Conn, do func(net.Conn) error) error {
	errs := make([]error, len(links))
	var wg sync.WaitGroup
	for i, link := range links {
		wg.Go(func() { errs[i] = do(link) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// roundTrip sends one job and waits for its result.
func roundTrip(c net.Conn, payload, values []byte, kind byte) error {
	if values != nil {
		if err := writeFrame(c, frameValues, values); err != nil {
			return err
		}
	}
	if err := writeFrame(c, kind, payload); err != nil {
		return err
	}
	got, result, err := readFrame(c, nil)
	switch {
	case err != nil:
		return err
	case got != frameResult || len(result) == 0:
		return fmt.Errorf("frame %d of %d bytes instead of a result", got, len(result))
	case result[0] != 0:
		return fmt.Errorf("exit code %d: %s", result[0], result[1:])
	}
	return nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
