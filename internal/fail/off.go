//go:build !chaos || !unix

package fail

// Point is nothing.
func Point(Name) {}
