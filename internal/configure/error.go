package configure

import (
	"fmt"

	"github.com/slipwayhq/slipway/internal/resource"
)

// fileError says which file, line and variable stopped the run. Line 0 and an
// empty variable are left out.
func fileError(path string, line int, variable string, err error) error {
	return &resource.Error{Code: resource.Invalid, Message: "The file was left as it was: " + where(path, line, variable), Err: err}
}

// where names a place in a file for people.
func where(path string, line int, variable string) string {
	if line > 0 {
		path = fmt.Sprintf("%s, line %d", path, line)
	}
	if variable != "" {
		path += fmt.Sprintf(", variable '%s'", variable)
	}
	return path
}

// syntaxError is where a document stops being one.
type syntaxError struct {
	line   int
	reason string
}

func (e *syntaxError) Error() string { return e.reason }

func unsupported(what string) error {
	return resource.Errorf(resource.PreconditionFailed, "%s not supported yet. Remove them from the step.", what)
}
