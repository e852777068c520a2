package server

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/service"
)

// service describes the service that runs `slipway server` with these flags.
func (f *flags) service(name string) (*service.Spec, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	args := []string{"server"}
	for flag, path := range map[string]*string{"--data": &f.data, "--tls-cert": &f.cert, "--tls-key": &f.key} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("find %s: %w", flag, err)
		}
	}
	if u, err := url.Parse(f.database); err == nil && u.User != nil {
		if _, open := u.User.Password(); open {
			return nil, console.Usagef("the service's settings can be read by others: leave the password out of --database and put it into a file that the address names with passfile=")
		}
	}
	for _, pair := range [][2]string{
		{"--data", f.data},
		{"--database", f.database},
		{"--blobs", f.blobs},
		{"--listen", f.listen},
		{"--agents", f.agents},
		{"--metrics", f.metrics},
		{"--node", f.node},
		{"--tls-cert", f.cert},
		{"--tls-key", f.key},
	} {
		if pair[1] != "" {
			args = append(args, pair[0], pair[1])
		}
	}
	if f.insecure {
		args = append(args, "--insecure-http")
	}
	if f.noWorker {
		args = append(args, "--no-worker")
	}
	spec := &service.Spec{Name: name, Description: "Slipway server", Program: program, Args: args}
	for _, address := range []string{f.listen, f.agents} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("read address %s: %w", address, err)
		}
		if number, err := strconv.Atoi(port); err == nil {
			spec.Ports = append(spec.Ports, number)
		}
	}
	return spec, nil
}
