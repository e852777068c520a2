// Package documents holds the use cases of what people edit: one set for every
// kind of document, and the special ones of projects, processes, variables,
// lifecycles, feeds, machines and spaces.
//
// Every change is one transaction: authorise, apply the kind's own rules,
// write, add the audit row. What a caller may not see is answered as missing,
// what he may see but not change as forbidden; an error of any kind leaves the
// database as it was (abuse 30, 31).
package documents
