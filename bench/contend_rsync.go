package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
)

// rsync is what people write by hand: rsync over ssh to every machine at once,
// sed for the values, a script, a link. One sshd of Debian's openssh-server
// plays all machines; each has its own standing ssh connection (ControlMaster),
// opened before the clock starts, as the others' agents are.
type rsync struct {
	dir    string
	config string
	// sockets is outside dir: a control socket's path must stay below 100 bytes.
	sockets string
	n       int
	procs   processes
}

const sshdConfig = `Port %d
ListenAddress 127.0.0.1
HostKey %s/host
AuthorizedKeysFile %s/user.pub
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
MaxStartups 1000
MaxSessions 1000
Subsystem sftp internal-sftp
`

const sshConfig = `Host m*
  HostName 127.0.0.1
  Port %d
  User %s
  IdentityFile %s/user
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ControlPath %s/%%n
  ControlMaster auto
  ControlPersist yes
`

// errNoRsync says what to install.
var errNoRsync = errors.New("not measured: apt-get install openssh-server rsync")

func startRsync(ctx context.Context, dir string, n int) (*rsync, error) {
	r := &rsync{dir: filepath.Join(dir, "machines"), config: filepath.Join(dir, "ssh_config"), n: n}
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return nil, errNoRsync
	}
	if _, err := exec.LookPath("rsync"); err != nil {
		return nil, errNoRsync
	}
	if r.sockets, err = os.MkdirTemp("", "b"); err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// Debian's sshd wants this folder; only root can make it.
	_ = os.MkdirAll("/run/sshd", 0o755)
	for _, key := range []string{"host", "user"} {
		gen := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
		if out, err := gen.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	server := filepath.Join(dir, "sshd_config")
	if err := errors.Join(
		os.WriteFile(server, fmt.Appendf(nil, sshdConfig, port, dir, dir), 0o600),
		os.WriteFile(r.config, fmt.Appendf(nil, sshConfig, port, me.Username, dir, r.sockets), 0o600),
	); err != nil {
		return nil, err
	}
	if err := r.procs.start(exec.CommandContext(ctx, sshd, "-D", "-e", "-f", server), filepath.Join(dir, "sshd.log")); err != nil {
		return nil, err
	}
	if err := waitDial(ctx, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return nil, err
	}
	return r, r.each(func(i int) error {
		master := exec.CommandContext(ctx, "ssh", "-F", r.config, "-fN", machine(i))
		return master.Run()
	})
}

func (r *rsync) Name() string { return "rsync over ssh" }

func (r *rsync) Script(ctx context.Context) error {
	return r.each(func(i int) error { return r.ssh(ctx, i, scriptText) })
}

func (r *rsync) Prepare(context.Context, release) error { return nil }

func (r *rsync) Package(ctx context.Context, rel release) error {
	var sed strings.Builder
	for k, v := range rel.Values {
		fmt.Fprintf(&sed, " -e 's/#{%s}/%s/g'", k, v)
	}
	return r.each(func(i int) error {
		home := filepath.Join(r.dir, fmt.Sprint(i))
		target := filepath.Join(home, rel.Version)
		cmd := exec.CommandContext(ctx, "rsync", "-a", "--mkpath", "-e", "ssh -F "+r.config, rel.Tree+"/", machine(i)+":"+target+"/")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("rsync to %d: %w: %s", i, err, out)
		}
		return r.ssh(ctx, i, fmt.Sprintf("cd %s && sed -i%s appsettings.json && bash ./%s && ln -sfn %s %s/current",
			target, sed.String(), deployName, rel.Version, home))
	})
}

func (r *rsync) Installed() string { return r.dir }

func (r *rsync) Close() error {
	err := r.each(func(i int) error {
		return exec.Command("ssh", "-F", r.config, "-O", "exit", machine(i)).Run()
	})
	return errors.Join(err, r.procs.stop(), os.RemoveAll(r.sockets))
}

func (r *rsync) ssh(ctx context.Context, i int, script string) error {
	out, err := exec.CommandContext(ctx, "ssh", "-F", r.config, machine(i), script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh %d: %w: %s", i, err, out)
	}
	return nil
}

func (r *rsync) each(do func(i int) error) error {
	errs := make([]error, r.n)
	var wg sync.WaitGroup
	for i := range r.n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func machine(i int) string { return fmt.Sprintf("m%d", i) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return net.LookupPort("tcp", port)
}
