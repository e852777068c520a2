# Slipway's build. `make` alone lists the targets.
# Needs Go; everything else is fetched by Go itself, pinned in tools/*/go.mod.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULE   := github.com/slipwayhq/slipway
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PKG      ?= ./...
FUZZTIME ?= 10s
SEEDS    ?= 2000
KILLS    ?= 20
LDFLAGS  := -s -w -X main.version=$(VERSION)

# What `make generate` writes.
GENERATED := internal/agentrpc/*.go .golangci.yaml docs/openapi.yaml docs/reliability.md

# Tools are built from their own modules, so that their dependencies never
# mix with the product's, and are cached by Go after the first use.
LINT   := go tool -modfile=tools/lint/go.mod golangci-lint
LINT_N := go tool -modfile=tools/lint/go.mod -n golangci-lint
CHECK  := go tool -modfile=tools/check/go.mod
PROTO  := go tool -modfile=tools/go.mod

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/slipway: server, agent, command line and demo in one file
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/slipway ./cmd/slipway

.PHONY: demo
demo: build ## Start a server and agents on this machine and roll a release out to them
	bin/slipway demo

.PHONY: test
test: ## Run the tests (PKG=./internal/rollout/... for some)
	go test $(PKG)

.PHONY: test-race
test-race: ## Run the tests under the race detector, without those of built binaries (needs a C compiler)
	CGO_ENABLED=1 go test -race -short $(PKG)

# The packages whose tests run on PostgreSQL too; the others use no database, or
# let time pass in a bubble that no real connection can be part of.
PGPKG := ./internal/store/... ./internal/engine ./internal/gateway ./internal/app/... ./internal/api

.PHONY: test-pg
test-pg: ## Run the tests of what uses the store on a throw-away PostgreSQL (installs Debian's package if it is missing)
	tools/with-postgres $(MAKE) --no-print-directory with-pg

# Beside the packages: stories of several built servers, and the takeover times
# that they print.
.PHONY: with-pg
with-pg:
	go test -count=1 $(PGPKG)
	go test -count=1 -v -run '^Test(Several|Two|ASecond|Owner|Drain)' ./internal/server ./e2e | grep -E '^(---|ok|FAIL|panic)|takeover|_test.go' \
	  | grep -v ' level='; exit $${PIPESTATUS[0]}

.PHONY: contract
contract: build ## Drive a built server and agents with the official Go SDK (CONTRACTFLAGS=-update tries all of its own tests)
	cd test/contract && SLIPWAY_BIN=$(CURDIR)/bin/slipway go test -count=1 ./... $(CONTRACTFLAGS)

# What has files of its own for Windows.
WINDOWSPKG := ./cmd/... ./internal/agent/... ./internal/cli/... ./internal/proc/... ./internal/agentrpc

.PHONY: lint
lint: ## Run golangci-lint, for Windows as well where that differs, and staticcheck
	$(LINT) run
	GOOS=windows CGO_ENABLED=0 "$$($(LINT_N))" run $(WINDOWSPKG)
	$(CHECK) staticcheck $(PKG)

.PHONY: fmt
fmt: ## Format the Go files (gofumpt, import groups)
	$(LINT) fmt

.PHONY: generate
generate: ## Write all generated files anew (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is missing: apt-get install protobuf-compiler" >&2; exit 1; }
	gen=$$($(PROTO) -n protoc-gen-go) connect=$$($(PROTO) -n protoc-gen-connect-go); \
	cd internal/agentrpc && protoc \
	  --plugin=protoc-gen-go="$$gen" --go_out=. --go_opt=paths=source_relative \
	  --plugin=protoc-gen-connect-go="$$connect" --connect-go_out=. \
	  --connect-go_opt=paths=source_relative,package_suffix agent.proto
	go generate ./...
	go test ./internal/archtest -run 'TestDepguard|TestEveryFault' -update
	go test ./internal/api -run OpenAPI -update

.PHONY: check-generate
check-generate: ## Fail when a generated file in git differs from what `make generate` writes
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code -I '^//.*protoc  *v' -- $(GENERATED) || { \
	  echo "generated files are stale: run make generate and commit" >&2; exit 1; }

.PHONY: cross
cross: ## Compile for the other systems: Windows on amd64, macOS on arm64
	@for t in windows/amd64 darwin/arm64; do \
	  echo "go build ./cmd/slipway for $$t"; \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./cmd/slipway; done

.PHONY: test-windows
test-windows: ## Run the agent's tests compiled for Windows under Wine (Debian: wine64, gcc-mingw-w64-x86-64; docs/decisions/030-windows-under-wine.md)
	test/windows/run

.PHONY: cover
cover: ## Run the tests with coverage, print it by package
	go test -coverprofile=coverage.out $(PKG)
	@go tool cover -func=coverage.out | tail -1

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@for p in $$(go list $(PKG)); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what we call (asks vuln.go.dev)
	$(CHECK) govulncheck $(PKG)

.PHONY: tidy
tidy: ## Tidy go.mod of the product, the contract test and the tools
	go mod tidy
	for d in test/contract tools tools/lint tools/check; do (cd $$d && go mod tidy); done

.PHONY: size
size: ## Print sizes of files and functions: median, p90, the ten largest
	@go run -C tools ./size ..

.PHONY: graph
graph: ## Print the import graph of our own packages
	@go test ./internal/archtest -run TestImportGraph -v | grep -v '^---\|^===\|^ok\|^PASS'

.PHONY: sim
sim: ## Run the orchestration under simulated faults, SEEDS runs (docs/reliability.md; SIMFLAGS='-from 7 -history')
	@go run ./sim -seeds $(SEEDS) $(SIMFLAGS)

.PHONY: chaos
chaos: ## Kill, stop and cut built servers and agents KILLS times (docs/reliability.md; CHAOSFLAGS='-seed 7 -v')
	@mkdir -p bin
	CGO_ENABLED=0 go build -tags chaos -trimpath -o bin/slipway-chaos ./cmd/slipway
	tools/with-postgres go run ./chaos -kills $(KILLS) $(CHAOSFLAGS)

.PHONY: mutants
mutants: ## Remove each guard in turn and demand that something names what it protects (ONLY=owner,fsync for some)
	@go run ./mutants -only '$(ONLY)' $(MUTANTSFLAGS)

.PHONY: bench
bench: build ## Measure Slipway beside the floor and rsync, and with many machines (BENCHFLAGS='-only scale')
	go run ./bench -slipway bin/slipway $(BENCHFLAGS)

.PHONY: bench-tasks
bench-tasks: ## List a million tasks, on SQLite and on PostgreSQL (docs/reliability.md)
	go test ./internal/store -run '^$$' -bench MillionTasks -benchtime 20x -timeout 30m
	tools/with-postgres go test ./internal/store -run '^$$' -bench MillionTasks -benchtime 20x -timeout 30m

AGENTS ?= 5000

.PHONY: bench-restart
bench-restart: ## Restart a server to which AGENTS (5000) are linked: seconds until all are back, how the API answered
	SLIPWAY_AGENTS=$(AGENTS) go test ./internal/server -run AgentsComeBack -count=1 -v -timeout 20m | grep -o '{"agents".*'

.PHONY: check
check: ## Everything CI runs, with the seconds it took; the tests come last
	@start=$$SECONDS; for step in check-generate lint cross test-windows test-race test test-pg sim "mutants ONLY=fsync,receipt" contract; do \
	  echo; echo "== make $$step ($$((SECONDS - start)) s so far)"; \
	  $(MAKE) --no-print-directory $$step; done

.PHONY: clean
clean: ## Remove what make wrote
	rm -rf bin dist coverage.out
