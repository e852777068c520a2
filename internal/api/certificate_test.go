package api_test

import "testing"

// Whoever is signed in may know which server his agents have to trust; nobody
// else is told.
func TestServerCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plain := r.member("plain", "", "")
	const path = "/api/configuration/certificates/certificate-global"
	if got := plain.get(path); got.text("Thumbprint") != thumbprint || got.text("Id") != "certificate-global" || got.text("Links", "Self") != path {
		t.Errorf("certificate: %v", got)
	}
	if items := plain.get("/api/configuration/certificates").items(); len(items) != 1 || items[0].text("Thumbprint") != thumbprint {
		t.Errorf("certificates: %v", items)
	}
	for _, query := range []string{"ids=certificate-octopus", "partialName=nothing"} {
		if items := plain.get("/api/configuration/certificates?" + query).items(); len(items) != 0 {
			t.Errorf("%s: %v", query, items)
		}
	}
	plain.want(404, "GET", "/api/configuration/certificates/certificate-octopus", nil)
	r.as("").want(401, "GET", path, nil)
}
