package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// maxArtifactBytes bounds the files that one attempt may keep, together.
const maxArtifactBytes = 2 << 30

// collectArtifacts copies the files that scripts want kept into the attempt's
// folder, where later scripts and deployments do not change them. One that
// cannot be copied is a warning.
func (a *attempt) collectArtifacts(r *agentrpc.Result) {
	room := int64(maxArtifactBytes)
	for i, artifact := range a.log.Collected().Artifacts {
		key := "artifact-" + strconv.Itoa(i)
		source := artifact.Path
		if !filepath.IsAbs(source) {
			source = filepath.Join(a.current, source)
		}
		size, err := copyArtifact(source, filepath.Join(a.env.Dir, key), room)
		if err != nil {
			a.log.Print(script.Warning, fmt.Sprintf("The artifact %s was left out: %v", artifact.Name, err))
			continue
		}
		room -= size
		r.Artifacts = append(r.Artifacts, &agentrpc.Artifact{Name: artifact.Name, Key: key, Size: size})
	}
}

func copyArtifact(from, to string, room int64) (size int64, err error) {
	info, err := os.Stat(from)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("it is not a file")
	}
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(out, io.LimitReader(in, room+1))
	if err == nil && size > room {
		err = errors.New("the attempt's artifacts are larger than 2 GiB")
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(to))
	}
	return size, nil
}
