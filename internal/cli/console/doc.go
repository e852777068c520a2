// Package console is what every command of the command line shares: the global
// flags, the streams and the terminal, the client they lead to, the printer,
// and the one place where an error becomes a message and an exit code.
//
// Results go to standard output, everything else (progress, questions,
// warnings, errors) to standard error, so that output can be piped.
package console
