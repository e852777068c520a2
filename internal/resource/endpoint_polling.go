package resource

// PollingEndpoint is the endpoint of an agent that dials the server: its
// subscription ("poll://…/") and the pin of its certificate.
func PollingEndpoint(subscription, thumbprint string) Endpoint {
	return Endpoint{CommunicationStyle: StyleActive, URI: subscription, Thumbprint: thumbprint}
}
