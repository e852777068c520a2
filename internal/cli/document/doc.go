// Package document holds the nouns of the command line that are documents and
// little more: environments, project groups, lifecycles, channels, projects,
// machine policies, spaces and events.
package document
