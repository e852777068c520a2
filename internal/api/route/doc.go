// Package route finds the entry of the routing table that a request means.
//
// A path is canonicalised once (Split), read with and without a space in front
// (Readings), and matched by a trie of segments in which literals beat
// parameters. net/http's ServeMux cannot hold the wire contract's overlapping
// patterns, and its paths are case-sensitive and unescaped (design 9). What
// Find returns is all that later code knows of the path, so authorisation and
// handler can never disagree about it (abuse 89).
package route
