// Package script turns a script and its variables into files and a command
// line, and what the script prints into log records and results.
//
// Three interpreters are known: Bash (or the plain shell where there is none),
// PowerShell and Python, each with the functions that scripts of this field
// expect. Variables reach the script through a file that only its own user can
// read, never through arguments or the environment (abuse 72), and no name or
// value is ever pasted into script text as anything but a quoted literal
// (abuse 83).
package script
