package system

import (
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (a *area) certificates() []api.Route {
	routes := []api.Route{
		api.Get("/configuration/certificates", authz.SignedIn, "List the certificates that the server itself has", a.listCertificates).With("ids", "partialName").Paged(),
		api.Get("/configuration/certificates/{id}", authz.SignedIn, "Get a certificate of the server: certificate-global is what agents trust", a.certificate),
	}
	for i := range routes {
		routes[i] = routes[i].At(route.Global)
	}
	return routes
}

// globalCertificate is the id under which the wire contract has the
// certificate with which the server meets its agents.
const globalCertificate = "certificate-global"

// CertificateConfiguration is a certificate that the server itself has. All of
// it is public: every agent sees it in its handshake.
type CertificateConfiguration struct {
	ID                 string `json:"Id"`
	Name               string
	Thumbprint         string // SHA-256 of the certificate in upper-case hexadecimal
	SignatureAlgorithm string
	Links              api.Links
}

func (a *area) own() []CertificateConfiguration {
	if a.Thumbprint == "" {
		return nil
	}
	return []CertificateConfiguration{{
		ID: globalCertificate, Name: "Server certificate", Thumbprint: a.Thumbprint, SignatureAlgorithm: "Ed25519",
		Links: api.Links{"Self": "/api/configuration/certificates/" + globalCertificate},
	}}
}

func (a *area) listCertificates(c *api.Call) (api.Collection[CertificateConfiguration], error) {
	var found []CertificateConfiguration
	for _, cert := range a.own() {
		named := strings.Contains(resource.Fold(cert.Name), resource.Fold(c.Text("partialName")))
		if ids := c.List("ids"); named && (ids == nil || slices.Contains(ids, cert.ID)) {
			found = append(found, cert)
		}
	}
	return api.SliceOf(c, "CertificateConfiguration", found), nil
}

func (a *area) certificate(c *api.Call) (CertificateConfiguration, error) {
	for _, cert := range a.own() {
		if strings.EqualFold(cert.ID, c.Param("id")) {
			return cert, nil
		}
	}
	return CertificateConfiguration{}, resource.Missing(c.Param("id"))
}
