// Package identity holds the use cases of users, teams, passwords and API keys:
// who a request comes from, and what he may do.
package identity
