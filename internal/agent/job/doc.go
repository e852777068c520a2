// Package job carries out what one attempt asks for: it runs a script, or
// installs, configures and proves a package (configuration.md 5). It lives in
// the attempt's shim and knows nothing of journal or server.
//
// A package's life on the machine:
//
//	store ─(hash again)─► Applications/.slipway/<attempt> ─rename─► …/<Version>
//	      ─► PreDeploy ─► configure ─► custom folder ─► Deploy ─► PostDeploy
//	      ─► receipt: the archive and every installed file, read again
//
// Nothing is visible under its final name before it is extracted whole. If the
// process dies, hidden folders stay behind, which Sweep removes; nothing else
// does. An error before the first script and before the rename is NotStarted.
package job
