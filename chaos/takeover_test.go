package main

import (
	"slices"
	"testing"
	"time"
)

// Only the first turn of another node ends a takeover.
func TestTakeoversAreMeasured(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	a := map[string]owned{"R1": {"a/1", 5}, "R2": {"a/1", 7}, "R3": {"b/1", 2}}
	for name, c := range map[string]struct {
		then []map[string]owned // a second apart
		want []time.Duration
	}{
		"a turn of another":      {[]map[string]owned{a, {"R1": {"b/1", 5}, "R2": {"b/1", 8}}}, []time.Duration{2 * time.Second}},
		"owned, and no turn yet": {[]map[string]owned{{"R1": {"b/1", 5}, "R2": {"b/1", 7}}}, nil},
		"back by itself":         {[]map[string]owned{{"R1": {"a/2", 6}, "R2": {"a/2", 9}}, {"R1": {"b/1", 9}}}, nil},
		"ended meanwhile":        {[]map[string]owned{{}, {"R1": {"b/1", 9}}}, nil},
		"of another node":        {[]map[string]owned{{"R1": {"a/1", 5}, "R2": {"a/1", 7}, "R3": {"c/1", 3}}}, nil},
		"counted once":           {[]map[string]owned{{"R1": {"b/1", 6}, "R2": {"a/1", 7}}, {"R1": {"b/1", 7}, "R2": {"b/1", 8}}}, []time.Duration{time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := takeovers{lost: map[string]*lostNode{}}
			o.see(a, at(0))
			o.gone("a", at(0))
			for i, now := range c.then {
				o.see(now, at(1000*(i+1)))
			}
			if !slices.Equal(o.times, c.want) {
				t.Errorf("took over in %v, want %v", o.times, c.want)
			}
		})
	}
}
