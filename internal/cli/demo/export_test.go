package demo

// What the tests need of the story.
var (
	Steps    = steps
	Database = database
)

// PostDeploy is the script that the package step runs last.
const PostDeploy = postDeploy

// Report is the verdict.
type Report = report

// Broken counts the promises that did not hold.
func (r *report) Broken() int { return r.broken() }

// Deployed notes a deployment.
func (r *report) Deployed(version, environment string, holding int) {
	r.deployed(version, environment, 1, holding)
}

// Unfinished sets how many scripts have no end.
func (r *report) Unfinished(n int) { r.unfinished = n }
