// Package template is the `#{…}` language of variables: names with indexes,
// nesting, escapes, JSON values, filters, conditions, loops and calculations
// (configuration.md 1). It is pure: no clock, no file, no network; what an
// evaluation may cost is counted in steps and bytes, never in time (abuse 62),
// so the same text and variables give the same answer on every machine.
//
// A Set holds the variables. Three marks on a value follow it through every
// evaluation:
//
//   - a template (Put) is expanded again wherever it is used;
//   - a literal (PutLiteral) never is: what scripts print and people type into
//     a deployment cannot reach other variables (abuse 63);
//   - a secret (PutSensitive) makes every result that looked at it sensitive,
//     however it was filtered (abuse 74).
package template
