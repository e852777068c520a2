package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

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
	for _, pair := range [][2]string{
		{"--data", f.data},
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
