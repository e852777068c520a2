package resource

import (
	"net/url"
	"strings"
)

// FeedType says what kind of repository a feed is.
type FeedType string

// The feed types (octopus-api.md 2.10). Slipway downloads from the first two;
// the others are kept as they are sent.
const (
	FeedBuiltIn FeedType = "BuiltIn"
	FeedNuGet   FeedType = "NuGet"
	FeedProject FeedType = "OctopusProject"
)

var feedTypes = []string{
	"BuiltIn", "NuGet", "OctopusProject", "Docker", "Maven", "GitHub", "Helm", "OciRegistry",
	"AwsElasticContainerRegistry", "AzureContainerRegistry", "GoogleContainerRegistry", "S3",
	"ArtifactoryGeneric", "Npm", "PyPi", "GcsStorage",
}

// Feed is where packages come from. A client writes only the members of its
// type; the others stay absent on the wire.
type Feed struct {
	Document
	Name                              string
	Slug                              string
	FeedType                          FeedType
	FeedURI                           string    `json:"FeedUri,omitempty"`
	Username                          string    `json:",omitempty"`
	Password                          Sensitive `json:",omitzero"`
	PackageAcquisitionLocationOptions []string
	DownloadAttempts                  int            `json:",omitempty"`
	DownloadRetryBackoffSeconds       int            `json:",omitempty"`
	EnhancedMode                      *bool          `json:",omitempty"` // NuGet
	APIVersion                        string         `json:"ApiVersion,omitempty"`
	RegistryPath                      string         `json:",omitempty"`
	Region                            string         `json:",omitempty"`
	AccessKey                         string         `json:",omitempty"`
	SecretKey                         Sensitive      `json:",omitzero"`
	UseMachineCredentials             *bool          `json:",omitempty"`
	OidcAuthentication                map[string]any `json:",omitempty"`
	Repository                        string         `json:",omitempty"`
	LayoutRegex                       string         `json:",omitempty"`
	UseServiceAccountKey              *bool          `json:",omitempty"`
	ServiceAccountJSONKey             Sensitive      `json:"ServiceAccountJsonKey,omitzero"`
	Project                           string         `json:",omitempty"`
	DeleteUnreleasedPackagesAfterDays *int           `json:",omitempty"` // built-in
	IsBuiltInRepoSyncEnabled          *bool          `json:",omitempty"` // built-in
	DeletePackagesWithReleases        *bool          `json:"DeletePackagesAssociatedWithReleases,omitempty"`
}

// FeedKind declares Feed.
var FeedKind = &Kind{
	Name: "Feed", Noun: "feed", IDPrefix: "Feeds", Table: "feed", Route: "feeds",
	NameField: "Name", Slug: true, Permission: "Feed",
	Fields:  []Field{{Path: "FeedType", Column: "feed_type"}},
	Order:   []string{"name_key"},
	Filters: map[string]string{"feedType": "FeedType"},
	Links: map[string]string{
		"SearchPackagesTemplate":        "{Self}/packages/search{?term,partialMatch,includeMultipleVersions,includePreRelease,take,skip}",
		"SearchPackageVersionsTemplate": "{Self}/packages/versions{?packageId,take,skip,includePreRelease,versionRange,preReleaseTag,filter,includeReleaseNotes}",
		"NotesTemplate":                 "{Self}/packages/notes{?packageId,version}",
	},
	New: func() Doc { return new(Feed) },
}

// Kind implements Doc.
func (f *Feed) Kind() *Kind { return FeedKind }

// SlugField implements Slugged.
func (f *Feed) SlugField() *string { return &f.Slug }

// IsBuiltIn says that its packages are in Slipway's own store.
func (f *Feed) IsBuiltIn() bool { return f.FeedType == FeedBuiltIn }

// SetDefaults implements Defaulter.
func (f *Feed) SetDefaults(func() string) {
	f.PackageAcquisitionLocationOptions = []string{"Server", "ExecutionTarget", "NotAcquired"}
	switch f.FeedType {
	case FeedBuiltIn, FeedProject:
		if f.FeedType == FeedProject {
			f.PackageAcquisitionLocationOptions = []string{"NotAcquired"}
		}
		return
	case FeedNuGet:
		if f.EnhancedMode == nil {
			f.EnhancedMode = new(bool)
		}
	}
	if f.DownloadAttempts == 0 {
		f.DownloadAttempts = 5
	}
	if f.DownloadRetryBackoffSeconds == 0 {
		f.DownloadRetryBackoffSeconds = 10
	}
}

// EachSecret implements Secretive.
func (f *Feed) EachSecret(visit func(string, *Sensitive)) {
	visit("Password", &f.Password)
	visit("SecretKey", &f.SecretKey)
	visit("ServiceAccountJsonKey", &f.ServiceAccountJSONKey)
}

// Validate implements Doc.
func (f *Feed) Validate() error {
	err := first(CheckName("feed", f.Name, MaxName), oneOf("FeedType", string(f.FeedType), feedTypes...))
	if err != nil {
		return err
	}
	if f.DownloadAttempts < 0 || f.DownloadAttempts > 100 || f.DownloadRetryBackoffSeconds < 0 || f.DownloadRetryBackoffSeconds > 3600 {
		return invalid("DownloadAttempts", "DownloadAttempts has to be between 1 and 100 and DownloadRetryBackoffSeconds between 0 and 3600.")
	}
	if f.FeedType != FeedNuGet || f.FeedURI == "" {
		return nil
	}
	u, err := url.Parse(f.FeedURI)
	if err != nil || !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https") || u.Host == "" || u.User != nil {
		return invalid("FeedUri", "FeedUri '%.200s' is not an address Slipway can use. Write it like https://example.com/v3/index.json, with user name and password in their own fields.", u.Redacted())
	}
	return nil
}

// Package is one version of a package in a built-in feed (octopus-api.md
// 2.11). Its bytes are in the blob store under Sha256.
type Package struct {
	Document
	Title            string
	Summary          string
	Description      string
	PackageID        string `json:"PackageId"`
	FeedID           string `json:"FeedId"`
	Version          string
	VersionKey       string // the version as it compares: equal for two spellings of one version
	ReleaseNotes     string
	Published        Time
	FileExtension    string // ".zip", ".nupkg", ".tar.gz" …
	PackageSizeBytes int64
	Hash             string // SHA-1, lower-case hex: what clients compare
	Sha256           string // lower-case hex: names the bytes, and what a release freezes
}

// PackageKind declares Package. Ids are PackageID's.
var PackageKind = &Kind{
	Name: "Package", Noun: "package", Table: "package", Route: "packages",
	NameField: "PackageId", UniqueWithin: "FeedId", Permission: "BuiltInFeed",
	Fields: []Field{
		{Path: "FeedId", Column: "feed_id", Ref: "Feed", Tie: Owner},
		{Path: "PackageId", Column: "package_id", Type: FoldColumn},
		{Path: "Version", Column: "package_version"},
		{Path: "Sha256", Column: "sha256"},
		{Path: "Published", Column: "published", Type: TimeColumn},
	},
	Search:  []string{"package_id"},
	Order:   []string{"package_id", "-published"},
	Filters: map[string]string{"nuGetPackageId": "PackageId"},
	Links: map[string]string{
		"Raw":  "{Self}/raw",
		"Feed": "{Space}/feeds/{FeedId}",
	},
	Hidden: []string{"VersionKey"},
	New:    func() Doc { return new(Package) },
}

// Kind implements Doc.
func (p *Package) Kind() *Kind { return PackageKind }

// UniqueKey implements Keyed: two spellings of one version are one package.
func (p *Package) UniqueKey() string { return Fold(p.PackageID) + " " + p.VersionKey }

// SetDefaults implements Defaulter.
func (p *Package) SetDefaults(func() string) {
	def(&p.Title, p.PackageID)
	def(&p.VersionKey, Fold(p.Version))
}

// Validate implements Doc.
func (p *Package) Validate() error {
	err := first(CheckName("package", p.PackageID, 100), CheckText("ReleaseNotes", p.ReleaseNotes), CheckText("Description", p.Description))
	if err != nil {
		return err
	}
	if p.Version == "" || len(p.Version) > 349 || !printable(p.Version) {
		return invalid("Version", "Please give the package a version of at most 349 characters.")
	}
	if p.FeedID == "" {
		return invalid("FeedId", "Please say which feed the package belongs to.")
	}
	if len(p.Sha256) != 64 || p.PackageSizeBytes < 0 {
		return invalid("Sha256", "The package has no SHA-256 of its bytes. Please upload it again.")
	}
	return nil
}
