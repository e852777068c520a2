package api

import "github.com/slipwayhq/slipway/internal/resource"

// UserItem is a user as the wire has him; me is the id of who asks.
func UserItem(u *resource.User, me string) Item {
	return ItemOf(u,
		Member{"IsRequestor", u.ID == me},
		Member{"CanPasswordBeEdited", !u.IsService},
	)
}

// userMembers are what only the wire has of a user.
type userMembers struct {
	IsRequestor         bool
	CanPasswordBeEdited bool
	Password            *string `json:",omitempty"` // written, never read
}
