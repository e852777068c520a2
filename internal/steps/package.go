package steps

var deployPackage = &Type{
	Name:         "Octopus.TentaclePackage",
	Title:        "Deploy a Package",
	Description:  "Extracts a package on each machine, writes its configuration and runs its scripts.",
	Category:     "Package",
	Receipt:      true,
	NeedsPackage: true,
	Validate:     func(map[string]string) error { return nil },
}
