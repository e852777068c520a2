package job

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/packages"
)

// hiddenFolder holds packages while they are extracted. It lies beside the
// installed ones, because a rename does not cross file systems.
const hiddenFolder = ".slipway"

// installPlace is where one package is going to be:
// <tenant>/<environment>/<package>/<version>, and _1, _2 … behind the version
// when that is taken (configuration.md 5).
type installPlace struct {
	root   *os.Root
	path   string // of root
	temp   string
	parent string
	name   string
}

func newPlace(applications, attempt, tenant, environment string, p *agentrpc.Package) (*installPlace, error) {
	if err := os.MkdirAll(applications, 0o755); err != nil {
		return nil, fmt.Errorf("make the applications folder: %w", err)
	}
	root, err := os.OpenRoot(applications)
	if err != nil {
		return nil, fmt.Errorf("open the applications folder: %w", err)
	}
	where := &installPlace{
		root: root, path: applications,
		temp: path.Join(hiddenFolder, hiddenName(attempt)),
		name: segment(packages.EscapeName(p.GetVersion())),
	}
	if tenant != "" {
		where.parent = segment(tenant)
	}
	where.parent = path.Join(where.parent, segment(environment), segment(packages.EscapeName(p.GetPackageId())))
	err = errors.Join(root.MkdirAll(where.parent, 0o755), root.MkdirAll(hiddenFolder, 0o700), root.RemoveAll(where.temp))
	if err == nil {
		err = root.Mkdir(where.temp, 0o755)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the installation folder: %w", err), root.Close())
	}
	return where, nil
}

func hiddenName(attempt string) string {
	sum := sha256.Sum256([]byte(attempt))
	return hex.EncodeToString(sum[:16])
}

func (p *installPlace) hidden() string { return filepath.Join(p.path, filepath.FromSlash(p.temp)) }

// publish gives the extracted folder its final name. A rename does not replace
// a folder that has content, so two attempts never get the same one.
func (p *installPlace) publish() (string, error) {
	for n := range 10_000 {
		name := p.name
		if n > 0 {
			name += "_" + strconv.Itoa(n)
		}
		target := path.Join(p.parent, name)
		if _, err := p.root.Lstat(target); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		err := p.root.Rename(p.temp, target)
		if err == nil {
			return filepath.Join(p.path, filepath.FromSlash(target)), nil
		}
		if _, taken := p.root.Lstat(target); taken != nil {
			return "", err
		}
	}
	return "", failed(0, "there are 10,000 installations of this version in %s; remove some", filepath.Join(p.path, p.parent))
}

// close removes what was not published.
func (p *installPlace) close() error { return errors.Join(p.root.RemoveAll(p.temp), p.root.Close()) }

// Sweep removes what attempts that ended unseen left in the applications
// folder: what is older than before and not of live, the attempts that may
// still be at it. Other agents of this machine may use the same folder, which
// is why young folders stay.
func Sweep(applications string, live []string, before time.Time) error {
	root, err := os.OpenRoot(applications)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep the applications folder: %w", err)
	}
	keep := map[string]bool{}
	for _, attempt := range live {
		keep[hiddenName(attempt)] = true
	}
	entries, err := fs.ReadDir(root.FS(), hiddenFolder)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, e := range entries {
		info, statErr := e.Info()
		if statErr == nil && !keep[e.Name()] && info.ModTime().Before(before) {
			err = errors.Join(err, root.RemoveAll(path.Join(hiddenFolder, e.Name())))
		}
	}
	if err := errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("sweep the applications folder: %w", err)
	}
	return nil
}

// segment makes a name one part of a path on every system: characters that
// some file system does not take are left out, and names of Windows' devices are
// not taken as they are (abuse 46).
func segment(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"/\|?*`, r) {
			return -1
		}
		return r
	}, name)
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
	if name == "" || packages.ReservedOnWindows(name) {
		return "_" + name
	}
	return name
}

// existing is the nearest folder above dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return dir
		}
		dir = parent
	}
}
