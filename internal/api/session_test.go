package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const loginBody = `{"Username":"admin","Password":"correct horse"}`

// loggedIn returns the two cookies of a session as a Cookie header, and the
// value that proves a request comes from our pages.
func loggedIn(t *testing.T, s *httptest.Server) (cookies, csrf string) {
	t.Helper()
	got := ask(t, s, "POST", "/api/users/login", loginBody)
	if got.status != http.StatusOK {
		t.Fatalf("login: %+v", got)
	}
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		cookies += c.Name + "=" + c.Value + "; "
		switch {
		case strings.HasPrefix(c.Name, "Octopus-Csrf-Token"):
			csrf = c.Value
		case !strings.HasPrefix(c.Name, "OctopusIdentificationToken"):
			t.Errorf("cookie %s", c.Name)
		case !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/":
			t.Errorf("cookie is open: %s", c)
		}
	}
	return cookies, csrf
}

// abuse 19, 20, 27
func TestSession(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	cookies, csrf := loggedIn(t, s)
	if again, _ := loggedIn(t, s); again == cookies {
		t.Error("two logins have one cookie")
	}
	for _, c := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"reads", "GET", "/api/numbers", nil, 200},
		{"writes with the token", "POST", "/api/echo", []string{"X-Octopus-Csrf-Token", csrf}, 201},
		{"does not write without", "POST", "/api/echo", nil, 403},
		{"the cookie is no token", "POST", "/api/echo", []string{"X-Octopus-Csrf-Token", strings.TrimSuffix(strings.SplitN(cookies, "=", 2)[1], "; ")}, 403},
		{"not from another site", "POST", "/api/echo", []string{"X-Octopus-Csrf-Token", csrf, "Sec-Fetch-Site", "cross-site"}, 403},
		{"not from another origin", "POST", "/api/echo", []string{"X-Octopus-Csrf-Token", csrf, "Origin", "https://evil.example"}, 403},
		{"a key needs no token", "POST", "/api/echo", []string{keyHeader, goodKey, "Sec-Fetch-Site", "cross-site"}, 201},
	} {
		got := ask(t, s, c.method, c.path, body(c.method), append([]string{"Cookie", cookies}, c.header...)...)
		if got.status != c.status {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	forged := strings.Replace(cookies, "OctopusIdentificationToken_5b1c8a1e-0000-4000-8000-000000000001=", "OctopusIdentificationToken_5b1c8a1e-0000-4000-8000-000000000001=X", 1)
	if got := ask(t, s, "GET", "/api/numbers", "", "Cookie", forged); got.status != http.StatusUnauthorized {
		t.Errorf("a forged cookie: %d", got.status)
	}
	if got := ask(t, s, "POST", "/api/users/logout", "", "Cookie", cookies, "X-Octopus-Csrf-Token", csrf); got.status != http.StatusOK {
		t.Errorf("logout: %+v", got)
	}
	if got := ask(t, s, "GET", "/api/numbers", "", "Cookie", cookies); got.status != http.StatusUnauthorized {
		t.Errorf("after logout: %d", got.status)
	}
}

func body(method string) string {
	if method == http.MethodPost {
		return `{"Name":"x"}`
	}
	return ""
}

// abuse 17: case, space and Unicode forms of a name are one account; a forged
// X-Forwarded-For is not another network (abuse 18).
func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	s := serve(t, io.Discard)
	names := []string{"admin", "ADMIN", " admin", "admin ", "ａｄｍｉｎ"}
	for i := range 10 {
		got := ask(t, s, "POST", "/api/users/login", `{"Username":"`+names[i%len(names)]+`","Password":"x"}`, "X-Forwarded-For", strings.Repeat("1", 1+i%3)+".2.3.4")
		if got.status != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, got.status)
		}
	}
	got := ask(t, s, "POST", "/api/users/login", loginBody, "X-Forwarded-For", "9.9.9.9")
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("eleventh try: %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	if got := ask(t, s, "POST", "/api/users/login", `{"Username":"other","Password":"x"}`); got.status != http.StatusUnauthorized {
		t.Errorf("another account: %d", got.status)
	}
}

func TestLoginFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	got := ask(t, serve(t, io.Discard), "POST", "/api/users/login", loginBody, "Sec-Fetch-Site", "cross-site")
	if got.status != http.StatusForbidden || len(got.header.Values("Set-Cookie")) != 0 {
		t.Errorf("%+v", got)
	}
}
