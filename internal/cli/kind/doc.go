// Package kind gives every kind of document the same commands: list, get and
// delete from one declaration of its path and columns. What a noun can do
// beyond that is its own package's.
package kind
