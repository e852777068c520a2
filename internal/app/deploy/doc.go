// Package deploy holds people's use cases around releases and deployments:
// making a release (with its snapshots and package digests), finding out where
// it may go, planning a deployment, and watching, reading and canceling the
// tasks that carry it out.
package deploy
