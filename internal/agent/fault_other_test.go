//go:build unix && !linux

package agent_test

func failSyncs(string) {}
