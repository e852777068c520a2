// Package packages knows what a package is: ids and versions (configuration.md
// 5.3, 5.8), and the archives they travel in (configuration.md 5.2). Whatever
// an archive holds, reading it costs bounded time, memory and disk, and
// nothing is written outside the folder given (abuse 43-48).
package packages
