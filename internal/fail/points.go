package fail

// Name names a point.
type Name string

// Process says which program a point is in.
type Process string

// The programs.
const (
	Server Process = "server"
	Agent  Process = "agent"
	Shim   Process = "shim"
)

// Place is one point of the list.
type Place struct {
	Name Name
	In   Process
	// Unknown: how the attempt ended cannot be known when its keeper dies here
	// (faults 9 and 11).
	Unknown bool
	// Only says where the point is met at all; everywhere when empty.
	Only Form
}

// Form is what a server is made of.
type Form string

// The forms.
const (
	OneNode  Form = "one node"      // on SQLite, blobs on its disk
	AllNodes Form = "several nodes" // on PostgreSQL, blobs on S3-compatible storage
)

// The points of a server. A transaction's own come three times: begun, about to
// commit, committed.
const (
	StoreBegun     Name = "store.begun"
	StoreCommit    Name = "store.commit"
	StoreCommitted Name = "store.committed"
	LogCommit      Name = "log.commit"
	LogCommitted   Name = "log.committed"
	BlobWritten    Name = "blob.written" // the temporary file is durable
	BlobRenamed    Name = "blob.renamed"
	BlobUpload     Name = "blob.upload" // all bytes are here, none has been sent
	BlobUploaded   Name = "blob.uploaded"

	TakingOver Name = "engine.taking-over" // before the commit of the node's new epoch
	TookOver   Name = "engine.took-over"
	Burying    Name = "engine.burying" // a dead node's rollouts are taken over, before the commit
	Buried     Name = "engine.buried"
	Claiming   Name = "engine.claiming" // a queued rollout, before its first turn commits
	Claimed    Name = "engine.claimed"
	Turning    Name = "engine.turning" // folded, before the commit
	Turned     Name = "engine.turned"

	GroupCommit    Name = "group.commit" // what many agents report, in one transaction
	GroupCommitted Name = "group.committed"
	Sent           Name = "start.sent"     // marked as sent, not a byte has gone out
	Answered       Name = "start.answered" // the agent has answered, which is not recorded yet
	Recorded       Name = "start.recorded"
	Asked          Name = "query.answered"
	Canceled       Name = "cancel.answered"
	Packages       Name = "package.missing" // the agent asks for packages, none has been sent
	PackageSent    Name = "package.sent"
	OutputIn       Name = "output.received"
	OutputKept     Name = "output.kept" // committed, not acknowledged
	OutputAcked    Name = "output.acknowledged"
	ResultIn       Name = "result.received"
	ResultKept     Name = "result.kept"
	Forgetting     Name = "forget.due" // before the agent is told
	Forgot         Name = "forget.answered"
	SessionOpen    Name = "session.open" // its row is committed
	Sealed         Name = "audit.sealed" // before the commit of the chain's next links
)

// The points of an agent.
const (
	JournalWrite    Name = "journal.write"
	JournalWritten  Name = "journal.written" // not synced
	JournalSynced   Name = "journal.synced"
	JournalReplace  Name = "journal.replace" // the compacted file lies beside it
	JournalReplaced Name = "journal.replaced"
	Incarnation     Name = "agent.incarnation" // counted up, not yet told
	FolderMade      Name = "attempt.folder"    // made, nothing journaled
	Journaled       Name = "attempt.journaled" // the start is durable, there is no shim
	Spawned         Name = "attempt.spawned"   // the shim runs and has no job
	Handed          Name = "attempt.handed"    // the shim has its job
	StartAnswer     Name = "attempt.answer"    // to Start
	QueryAnswer     Name = "attempt.queried"
	Revoking        Name = "attempt.revoking"
	Running         Name = "attempt.running" // journaled
	Ended           Name = "attempt.ended"   // the result is journaled
	Canceling       Name = "cancel.journaled"
	CancelTold      Name = "cancel.told" // to the shim
	OutputOut       Name = "output.sent"
	ResultDue       Name = "result.due"
	ResultSent      Name = "result.sent"
	Forgotten       Name = "forget.journaled" // the folder is still there
	Removed         Name = "forget.removed"
	PackageWritten  Name = "package.written" // the temporary file is durable
	PackageRenamed  Name = "package.renamed"
)

// The points of an attempt's keeper and of its job.
const (
	ShimBegun    Name = "shim.begun"   // it has its job and no marker
	ShimClaimed  Name = "shim.claimed" // the marker is there, the job has not begun
	Extracted    Name = "install.extracted"
	Installed    Name = "install.renamed"
	ShimRan      Name = "shim.ran"      // the job has ended, its log is not synced
	ShimLogged   Name = "shim.logged"   // the log is durable, there is no exit record
	ShimFinished Name = "shim.finished" // the exit record is durable
)

// Places is the list of all points.
func Places() []Place {
	var list []Place
	add := func(in Process, only Form, names ...Name) {
		for _, name := range names {
			list = append(list, Place{Name: name, In: in, Only: only})
		}
	}
	add(Server, "",
		StoreBegun, StoreCommit, StoreCommitted, LogCommit, LogCommitted,
		TakingOver, TookOver, Claiming, Claimed, Turning, Turned,
		GroupCommit, GroupCommitted, Sent, Answered, Recorded, Asked, Canceled, Packages, PackageSent,
		OutputIn, OutputKept, OutputAcked, ResultIn, ResultKept, Forgetting, Forgot, SessionOpen, Sealed)
	add(Server, OneNode, BlobWritten, BlobRenamed)
	add(Server, AllNodes, Burying, Buried, BlobUpload, BlobUploaded)
	add(Agent, "",
		JournalWrite, JournalWritten, JournalSynced, JournalReplace, JournalReplaced, Incarnation, FolderMade,
		Journaled, Spawned, Handed, StartAnswer, QueryAnswer, Revoking, Running, Ended, Canceling, CancelTold,
		OutputOut, ResultDue, ResultSent, Forgotten, Removed, PackageWritten, PackageRenamed)
	add(Shim, "", ShimBegun, ShimFinished)
	for _, name := range []Name{ShimClaimed, Extracted, Installed, ShimRan, ShimLogged} {
		list = append(list, Place{Name: name, In: Shim, Unknown: true})
	}
	return list
}
