package proc_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/slipwayhq/slipway/internal/proc"
)

// fault 47: the count is that of the nearest group that keeps one.
func TestWhoCountsKillsForMemory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		groups string
		files  map[string]string
		want   int64
		group  bool
	}{
		"version 1": {
			"4:memory:/a/b\n0::/\n",
			map[string]string{"memory/a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "memory/a/memory.oom_control": "oom_kill 9\n"},
			3, true,
		},
		"version 1 of an old kernel": {
			"4:memory:/a/b\n",
			map[string]string{"memory/a/b/memory.oom_control": "oom_kill_disable 0\n", "memory/a/memory.oom_control": "oom_kill 9\n"},
			7, false,
		},
		"version 2":                {"0::/a/b\n", map[string]string{"a/b/memory.events": "low 0\noom 2\noom_kill 2\noom_group_kill 1\n"}, 2, true},
		"version 2, of a parent":   {"0::/a/b/c\n", map[string]string{"a/memory.events": "oom_kill 5\n"}, 5, true},
		"both":                     {"2:memory:/\n0::/a\n", map[string]string{"memory/memory.oom_control": "oom_kill 1\n", "unified/a/memory.events": "oom_kill 8\n"}, 1, true},
		"version 2 beside others":  {"3:pids:/\n0::/a\n", map[string]string{"unified/a/memory.events": "oom_kill 8\n"}, 8, true},
		"no group that counts":     {"0::/a\n", map[string]string{"a/memory.current": "1\n"}, 7, false},
		"no groups":                {"", nil, 7, false},
		"a line that is no number": {"0::/a\n", map[string]string{"a/memory.events": "oom_kill many\n"}, 7, false},
	} {
		dir := t.TempDir()
		machine := filepath.Join(dir, "vmstat")
		files := map[string]string{"vmstat": "pgfault 1\noom_kill 7\n"}
		maps.Copy(files, c.files)
		for file, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if count, group := proc.OOMKills(dir, c.groups, machine); count != c.want || group != c.group {
			t.Errorf("%s: %d, of a group: %v; want %d, %v", name, count, group, c.want, c.group)
		}
	}
}
