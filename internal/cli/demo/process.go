package demo

import (
	"fmt"
	"maps"
)

// The names of the story.
const (
	projectName = "Shop"
	packageID   = "Shop.Web"
	staging     = "Test"
	production  = "Production"

	holdingOn  = "Holding page on"
	migrate    = "Migrate the database"
	rollOut    = "Roll out"
	takeOut    = "Out of the load balancer"
	install    = "Deploy"
	verify     = "Verify over HTTP"
	putIn      = "Into the load balancer"
	holdingOff = "Holding page off"
)

// window is how many web machines are worked on at once.
const window = "2"

// header begins every script: it writes down the script's own start, and its
// end however it comes.
const header = `set -e
slipway=$(get_octopusvariable Demo.Slipway)
folder=$(get_octopusvariable Demo.Folder)
machine=$(get_octopusvariable Octopus.Machine.Name)
environment=$(get_octopusvariable Octopus.Environment.Name)
release=$(get_octopusvariable Octopus.Release.Number)
balancer=$(get_octopusvariable Demo.Balancer)
state=$folder/machines/$machine/$environment
SLIPWAY_DEMO_TOKEN=$(get_octopusvariable Demo.Token)
export SLIPWAY_DEMO_TOKEN
attempt=$(get_octopusvariable Slipway.Attempt.Id)
deployment=$(get_octopusvariable Octopus.Deployment.Id)
action=$(get_octopusvariable Octopus.Action.Name)
mark() {
    "$slipway" demo mark "$1" --folder "$folder" --attempt "$attempt" \
        --deployment "$deployment" --action "$action" --machine "$machine"
}
mark start
trap 'mark end' EXIT
`

// postDeploy starts the shop from the folder that the package was installed
// and configured in. The shop is a daemon and outlives the script by design.
const postDeploy = header + `"$slipway" demo shop start --folder "$PWD" --machine "$machine" --state "$state"
`

func script(name, body string) map[string]any { return scriptWith(name, body, nil) }

func scriptWith(name, body string, more map[string]string) map[string]any {
	properties := map[string]string{
		"Octopus.Action.Script.ScriptSource": "Inline",
		"Octopus.Action.Script.Syntax":       "Bash",
		"Octopus.Action.Script.ScriptBody":   header + body + "\n",
	}
	maps.Copy(properties, more)
	return map[string]any{"Name": name, "ActionType": "Octopus.Script", "Packages": []any{}, "Properties": properties}
}

func step(name, role string, properties map[string]string, actions ...map[string]any) map[string]any {
	all := map[string]string{"Octopus.Action.TargetRoles": role}
	condition := "Success"
	maps.Copy(all, properties)
	if all["Octopus.Step.ConditionVariableExpression"] != "" {
		condition = "Variable"
	}
	return map[string]any{
		"Name": name, "Condition": condition, "StartTrigger": "StartAfterPrevious", "Properties": all, "Actions": actions,
	}
}

// steps is the shop's deployment process: the article's sequence of events.
// The holding page and the migration belong to releases with a migration only.
func steps() []map[string]any {
	ifMigration := map[string]string{"Octopus.Step.ConditionVariableExpression": "#{Shop.Migrate}"}
	migration := scriptWith(migrate, `"$slipway" demo migrate --database "$(get_octopusvariable ShopDb)" --schema 1`,
		map[string]string{"Slipway.Action.RunOnce": "True"})
	return []map[string]any{
		step(holdingOn, "lb", ifMigration, script(holdingOn, holding("on"))),
		step(migrate, "db", ifMigration, migration),
		step(rollOut, "web", map[string]string{"Octopus.Action.MaxParallelism": window},
			script(takeOut, `"$slipway" demo balancer out "$environment" --url "$balancer" --machine "$machine"`),
			map[string]any{
				"Name": install, "ActionType": "Octopus.TentaclePackage",
				"Packages": []any{map[string]any{
					"Name": "", "PackageId": packageID, "FeedId": "feeds-builtin", "AcquisitionLocation": "Server", "Properties": map[string]string{},
				}},
				"Properties": map[string]string{
					"Octopus.Action.Package.PackageId":          packageID,
					"Octopus.Action.Package.FeedId":             "feeds-builtin",
					"Octopus.Action.Package.DownloadOnTentacle": "False",
					"Octopus.Action.EnabledFeatures": "Octopus.Features.ConfigurationVariables,Octopus.Features.JsonConfigurationVariables," +
						"Octopus.Features.CustomScripts",
					"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings": "True",
					"Octopus.Action.Package.JsonConfigurationVariablesTargets":                  "appsettings.json",
					"Octopus.Action.CustomScripts.PostDeploy.sh":                                postDeploy,
				},
			},
			script(verify, `"$slipway" demo check --state "$state" --release "$release" --environment "$environment" --for 1500ms`),
			script(putIn, `"$slipway" demo balancer in "$environment" --url "$balancer" --machine "$machine" --state "$state" --release "$release"`),
		),
		step(holdingOff, "lb", ifMigration, script(holdingOff, holding("off"))),
	}
}

func holding(onOff string) string {
	return fmt.Sprintf(`"$slipway" demo balancer holding "$environment" %s --url "$balancer"`, onOff)
}

// database is the connection string that a configured shop of the environment
// shows.
func database(folder, environment string) string {
	return "Data Source=" + folder + "/db/" + environment + ".json"
}

// variables are the project's; migrates says whether releases made from now on
// bring a migration.
func variables(self, folder, balancer, token string, migrates bool) []map[string]any {
	plain := func(name, value string) map[string]any {
		return map[string]any{"Name": name, "Value": value, "Type": "String", "IsSensitive": false, "Scope": map[string]any{}}
	}
	answer := "False"
	if migrates {
		answer = "True"
	}
	return []map[string]any{
		plain("Demo.Slipway", self), plain("Demo.Folder", folder), plain("Demo.Balancer", balancer),
		{"Name": "Demo.Token", "Value": token, "Type": "Sensitive", "IsSensitive": true, "Scope": map[string]any{}},
		plain("Shop.Migrate", answer),
		plain("Shop:Release", "#{Octopus.Release.Number}"),
		plain("Shop:Environment", "#{Octopus.Environment.Name}"),
		plain("ShopDb", "Data Source=#{Demo.Folder}/db/#{Octopus.Environment.Name}.json"),
		plain("Theme", "nautical"),
	}
}
