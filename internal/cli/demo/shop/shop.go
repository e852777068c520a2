// Package shop is the small web shop that the demo deploys: a real site that
// serves from its package folder, with the configuration that was written
// there. Each page says which machine served it, from which package, as which
// release and against which database, so that a stale or an unconfigured page
// gives itself away.
package shop

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Identity is what a page says about where it comes from.
type Identity struct {
	Machine string
	// Package is the version inside the package; Release is what the
	// deployment wrote into appsettings.json. They agree, or the page is wrong.
	Package     string
	Release     string
	Environment string
	// Database is the connection string that the deployment wrote into
	// Web.config.
	Database string
}

// openMark and closeMark enclose the identity in a page.
const (
	openMark  = `<script type="application/json" id="shop">`
	closeMark = `</script>`
)

// Find reads the identity from a page; ok is false where there is none.
func Find(page []byte) (id Identity, ok bool) {
	_, rest, ok := bytes.Cut(page, []byte(openMark))
	if !ok {
		return Identity{}, false
	}
	text, _, ok := bytes.Cut(rest, []byte(closeMark))
	return id, ok && json.Unmarshal(text, &id) == nil
}

// Site is an installed shop.
type Site struct {
	id     Identity
	schema int
	title  string
	page   *template.Template
}

// settings is the part of appsettings.json that the shop reads.
type settings struct {
	Shop struct {
		Release     string
		Environment string
		Title       string
		Schema      int
	}
}

// webConfig is the part of Web.config that the shop reads.
type webConfig struct {
	ConnectionStrings []struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"connectionString,attr"`
	} `xml:"connectionStrings>add"`
}

// Open reads a shop from its package folder.
func Open(folder, machine string) (*Site, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open shop: %w", err)
	}
	defer root.Close()
	files := root.FS()
	version, err := fs.ReadFile(files, "VERSION")
	if err != nil {
		return nil, fmt.Errorf("open shop: %w", err)
	}
	var s settings
	if err := read(files, "appsettings.json", json.Unmarshal, &s); err != nil {
		return nil, err
	}
	var config webConfig
	if err := read(files, "Web.config", xml.Unmarshal, &config); err != nil {
		return nil, err
	}
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("open shop: %w", err)
	}
	site := &Site{
		id: Identity{
			Machine: machine, Package: strings.TrimSpace(string(version)),
			Release: s.Shop.Release, Environment: s.Shop.Environment,
		},
		schema: s.Shop.Schema, title: s.Shop.Title, page: page,
	}
	for _, c := range config.ConnectionStrings {
		if c.Name == "ShopDb" {
			site.id.Database = c.Value
		}
	}
	return site, nil
}

func read(files fs.FS, name string, decode func([]byte, any) error, into any) error {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("open shop: %w", err)
	}
	if err := decode(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// Identity is what the site's pages say.
func (s *Site) Identity() Identity { return s.id }

// view is what the template shows.
type view struct {
	Title    string
	Identity Identity
	JSON     template.HTML
	Products []Product
}

// ServeHTTP serves the list of products at / and one product at /product/N.
// A database that is missing or has not the schema that this version needs is
// an error of the page, as in a real shop.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	db, err := OpenDatabase(s.id.Database)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if db.Schema < s.schema {
		http.Error(w, fmt.Sprintf("the database has schema %d, %s needs %d", db.Schema, s.id.Package, s.schema), http.StatusInternalServerError)
		return
	}
	products := db.Products
	if rest, ok := strings.CutPrefix(r.URL.Path, "/product/"); ok {
		n, err := strconv.Atoi(rest)
		if err != nil || n < 1 || n > len(products) {
			http.NotFound(w, r)
			return
		}
		products = products[n-1 : n]
	} else if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	s.render(w, products)
}

func (s *Site) render(w http.ResponseWriter, products []Product) {
	id, err := json.Marshal(s.id) // escapes <, > and & itself
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var page bytes.Buffer
	err = s.page.Execute(&page, view{
		Title: s.title, Identity: s.id, Products: products,
		JSON: template.HTML(openMark + string(id) + closeMark), //nolint:gosec // JSON with <, > and & escaped
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes())
}
