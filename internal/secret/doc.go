// Package secret seals values at rest. One master key in a file wraps data
// keys, one for each space, that the store keeps; a data key seals values with
// AES-256-GCM. What a sealed value belongs to (kind, document id, field) is
// part of what is authenticated, so that a box moved to another row does not
// open (abuse 75). The package also makes and hashes API keys and tokens.
package secret
