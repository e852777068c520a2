// Package configure does to an installed package's files what the action's
// properties ask: variables substituted in files, .NET settings, structured
// values, in this order (configuration.md 4). It works on a folder and a set of
// variables, without a server, so that a dry run on a laptop gives the bytes
// that the agent will write.
//
// A file that cannot be configured fails the run with its name, the line and
// the variable, and stays as it was; files already done stay done. Each file is
// replaced whole or not at all, also when the process dies. Nothing outside of
// the folder is read or written, symbolic links are not followed (abuse 56),
// and only what was asked to change does.
package configure
