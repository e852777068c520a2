// Package packaging is `slipway package`: making packages, pushing them to the
// built-in feed and looking at what is there.
package packaging
