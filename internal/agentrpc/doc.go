// Package agentrpc is what server and agent share: the generated service, the
// pinned identities, and the connections between them.
//
// The agent is always the server of the HTTP/2 and Connect layer, whichever of
// the two opened the TCP connection (design section 6):
//
//	listening: the server dials :10933          polling: the agent dials :10943
//	agent:  Listen  → ServeConn                 agent:  Poll  → ServeConn
//	server: Dial    → NewLink → Link.Client     server: Listen → NewLink → Link.Client
//
// There is no certificate authority. Each side has one [Identity], a key and a
// self-signed certificate, and knows the other by [Thumbprint] alone. Expiry,
// names and chains of a certificate mean nothing here, so a wrong clock cannot
// cut a machine off (fault 29).
package agentrpc
