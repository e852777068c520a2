package agent

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/fail"
)

const (
	countFile  = "incarnation"
	startsFile = "starts"
	// maxStarts is how many starts keep their names: as often may an agent be
	// started between two links without a doubt about which disk it has.
	maxStarts = 64
)

// countStart counts and names this start, durably, before anybody hears of it:
// a count that went back tells the server that the machine's disk did, and so
// does another name for a start that the server has heard of (fault 32). The
// names are those of the last starts, this one first.
//
// The names are written first. A name whose count was not written is replaced by
// the next start, and nobody has heard it.
func countStart(home string, random func() float64) (incarnation int64, names []string, err error) {
	var last int64
	text, err := readOptional(filepath.Join(home, countFile))
	if err == nil && text != nil {
		last, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("count this start: %s: %w", countFile, err)
	}
	if names, err = readStarts(home, last); err != nil {
		return 0, nil, fmt.Errorf("count this start: %w", err)
	}
	name := strconv.FormatUint(uint64(random()*(1<<53)), 36)
	names = append([]string{name}, names[:min(len(names), maxStarts-1)]...)
	for _, file := range []struct{ name, content string }{
		{startsFile, strconv.FormatInt(last+1, 10) + "\n" + strings.Join(names, "\n") + "\n"},
		{countFile, strconv.FormatInt(last+1, 10) + "\n"},
	} {
		if err := writeFile(home, file.name, []byte(file.content)); err != nil {
			return 0, nil, fmt.Errorf("count this start: %w", err)
		}
	}
	fail.Point(fail.Incarnation)
	return last + 1, names, nil
}

// readStarts are the names of the start counted last and of those before it;
// none where an earlier release wrote no names.
func readStarts(home string, last int64) ([]string, error) {
	text, err := readOptional(filepath.Join(home, startsFile))
	if err != nil || text == nil {
		return nil, err
	}
	count, names, _ := strings.Cut(string(text), "\n")
	of, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", startsFile, err)
	}
	switch names := strings.Fields(names); {
	case of == last:
		return names, nil
	case of == last+1 && len(names) > 0: // its count was not written
		return names[1:], nil
	default: // a release that writes no names has started meanwhile
		return nil, nil
	}
}
