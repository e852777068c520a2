package app

import "github.com/slipwayhq/slipway/internal/resource"

// Actor is the caller as audit rows name him.
func (c Caller) Actor() resource.Actor {
	return resource.Actor{
		UserID: c.UserID, Username: c.Username, IsService: c.IsService,
		EstablishedWith: c.Via, UserAgent: c.UserAgent, IPAddress: c.IP,
	}
}
