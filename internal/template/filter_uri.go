package template

import (
	"net"
	"net/url"
	"strings"
)

// uriPart answers one question about an address. Errors come back as text
// (configuration.md 1.11).
func uriPart(in string, has bool, options []string) (string, bool, error) {
	if !has {
		return "", false, nil
	}
	if len(options) == 0 {
		return "[UriPart error: no argument given]", true, nil
	}
	part := options[0]
	u, err := url.Parse(strings.TrimSpace(in))
	if err != nil {
		return "[UriPart " + part + " error: Invalid URI]", true, nil //nolint:nilerr // errors come back as text (configuration.md 1.11)
	}
	if strings.EqualFold(part, "IsAbsoluteUri") {
		return strings.ToLower(boolText(u.IsAbs())), true, nil
	}
	answer, known := partOf(u, strings.ToLower(part))
	switch {
	case !known:
		return "[UriPart " + part + " error: argument '" + part + "' not supported]", true, nil
	case !u.IsAbs():
		return "[UriPart " + part + " error: This operation is not supported for a relative URI.]", true, nil
	}
	return answer, true, nil
}

func partOf(u *url.URL, part string) (string, bool) {
	path := u.EscapedPath()
	if path == "" && u.Host != "" {
		path = "/"
	}
	query := u.RawQuery
	if query != "" {
		query = "?" + query
	}
	flag := func(b bool) string { return strings.ToLower(boolText(b)) }
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	switch part {
	case "absolutepath", "path":
		return path, true
	case "absoluteuri":
		full := *u
		full.Path, full.RawPath = "", ""
		full.RawQuery, full.Fragment, full.RawFragment = "", "", ""
		return full.String() + path + query + fragment(u), true
	case "authority":
		return authority(u), true
	case "dnssafehost":
		return u.Hostname(), true
	case "fragment":
		return fragment(u), true
	case "host":
		if strings.Contains(u.Hostname(), ":") {
			return "[" + u.Hostname() + "]", true
		}
		return u.Hostname(), true
	case "hostandport":
		return net.JoinHostPort(u.Hostname(), port), true
	case "hostnametype":
		return hostType(u), true
	case "isdefaultport":
		return flag(port == defaultPort(u.Scheme)), true
	case "isfile":
		return flag(u.Scheme == "file"), true
	case "isloopback":
		ip := net.ParseIP(u.Hostname())
		return flag(strings.EqualFold(u.Hostname(), "localhost") || (ip != nil && ip.IsLoopback())), true
	case "isunc":
		return flag(u.Scheme == "file" && u.Host != ""), true
	case "pathandquery":
		return path + query, true
	case "port":
		if port == "" {
			port = "-1"
		}
		return port, true
	case "query":
		return query, true
	case "scheme":
		return u.Scheme, true
	case "schemeandserver":
		return u.Scheme + "://" + authority(u), true
	case "userinfo":
		return u.User.String(), true
	}
	return "", false
}

func fragment(u *url.URL) string {
	if u.Fragment == "" {
		return ""
	}
	return "#" + u.EscapedFragment()
}

// authority is host and port, the port only where it is not the scheme's own.
func authority(u *url.URL) string {
	if u.Port() == defaultPort(u.Scheme) {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	case "ftp":
		return "21"
	}
	return ""
}

func hostType(u *url.URL) string {
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.Host == "":
		return "Basic"
	case ip == nil:
		return "Dns"
	case ip.To4() != nil:
		return "IPv4"
	}
	return "IPv6"
}
