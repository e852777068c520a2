package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figures are what a server process says of itself, and the system of it, at
// one moment.
type figures struct {
	metrics map[string]float64 // by name, labels included
	disk    int64              // bytes that it caused to be written to files
	cpu     time.Duration
	memory  int64 // resident now, bytes
	peak    int64 // since the last forgetPeak
}

// take reads the figures of the process whose metrics are served at address.
func take(ctx context.Context, address string, pid int) (figures, error) {
	f := figures{metrics: map[string]float64{}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return f, err
	}
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a local server; the benchmark's own limit ends it
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); found && err == nil && !strings.HasPrefix(name, "#") {
			f.metrics[name] = n
		}
	}
	if err := lines.Err(); err != nil {
		return f, err
	}
	f.cpu = time.Duration(f.metrics["process_cpu_seconds_total"] * float64(time.Second))
	if f.disk, err = procNumber(pid, "io", "write_bytes:"); err != nil {
		return f, err
	}
	if f.memory, err = resident(pid); err != nil {
		return f, err
	}
	f.peak, err = procNumber(pid, "status", "VmHWM:")
	f.peak <<= 10
	return f, err
}

// forgetPeak begins a new measurement of the most memory a process held.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o600)
}

// procNumber reads a number out of a file of /proc/PID.
func procNumber(pid int, file, label string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, label); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s of process %d has no %s", file, pid, label)
}

// grown is by how much a counter has grown since before.
func (f figures) grown(before figures, name string) float64 {
	return f.metrics[name] - before.metrics[name]
}

// quantile reads a quantile out of a histogram, of what came in since before:
// by straight line within a bucket.
func (f figures) quantile(before figures, name string, q float64) time.Duration {
	type bucket struct{ upTo, count float64 }
	var buckets []bucket
	for key := range f.metrics {
		rest, ok := strings.CutPrefix(key, name+`_bucket{le="`)
		if !ok {
			continue
		}
		if upTo, err := strconv.ParseFloat(strings.TrimSuffix(rest, `"}`), 64); err == nil {
			buckets = append(buckets, bucket{upTo, f.grown(before, key)})
		}
	}
	slices.SortFunc(buckets, func(a, b bucket) int {
		if a.upTo < b.upTo {
			return -1
		}
		return 1
	})
	if len(buckets) == 0 || buckets[len(buckets)-1].count == 0 {
		return 0
	}
	want := q * buckets[len(buckets)-1].count
	var last bucket
	for _, b := range buckets {
		if b.count >= want && b.count > last.count {
			upTo := b.upTo
			if math.IsInf(upTo, 1) {
				upTo = last.upTo // the last bucket has no end
			}
			return time.Duration((last.upTo + (upTo-last.upTo)*(want-last.count)/(b.count-last.count)) * float64(time.Second))
		}
		last = b
	}
	return time.Duration(last.upTo * float64(time.Second))
}
