# What to run while working on Coexist. CI runs .ci/run, which calls the same targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 10s
TEST_TIMEOUT ?= 25m
HOSTILE ?= .
GUARD ?= 1m
WITHOUT ?=
FAILOVERS ?= 10
SOAK ?= 10m
SEED ?= 0
HISTORIES ?= bin/histories
DATABASES ?= sqlite,postgres
SCALE ?= 100k
RUNS ?= 3
ONLY ?=

# The race detector without the checks of unsafe pointers that come with it: only our dependencies have any, and they take a quarter of
# the time. make test-hostile has them. Paths are trimmed, so that a package which was compiled in one checkout is not compiled in another.
RACE := -race -trimpath -gcflags=all=-d=checkptr=0

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the server on http://127.0.0.1:8080 with sample data in coexist.db
	go run .

.PHONY: build
build: ## Build the server as bin/coexist
	go build -trimpath -o bin/coexist .

.PHONY: generate
generate: ## Generate graph/ from schema.graphqls
	go generate ./...

.PHONY: playground
playground: playground/node_modules ## Build playground/dist, which the server embeds
	npm --prefix playground run build

.PHONY: fmt
fmt: $(GOLANGCI) ## Format the Go files
	$(GOLANGCI) fmt

.PHONY: lint
lint: $(GOLANGCI) ## Check style, likely bugs and the import rules
	# Built as make test builds, so that the packages are compiled once.
	GOFLAGS='$(RACE)' $(GOLANGCI) run

.PHONY: test
test: ensure-postgres ## Run all Go tests, with the race detector, on SQLite and PostgreSQL
	# make lint vets. Nobody debugs these programs, so they are linked without what debuggers read. One package more than there are
	# processors, and four tests at once in each, since tests wait for their databases. What another checkout tested is tested again.
	TMPDIR=$$(scripts/tmpdir.sh) go test $(RACE) -count=1 -vet=off -ldflags=-w -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -parallel 4 -timeout $(TEST_TIMEOUT) ./...

.PHONY: test-hostile
test-hostile: ensure-postgres ## Run the tests that HOSTILE matches (all) on PostgreSQL databases with hostile settings, as a role with few rights
	COEXIST_TEST_HOSTILE=1 go test -race -timeout $(TEST_TIMEOUT) -run '$(HOSTILE)' ./repo ./proof/soak ./resolvers .

.PHONY: test-pooler
test-pooler: ensure-postgres ## Run the tests of the engine and of the API on PostgreSQL through PgBouncer in transaction mode, but those whose settings a connection takes when it begins
	scripts/test-pooler.sh $(RACE) -timeout $(TEST_TIMEOUT)

.PHONY: model
model: ## Explore the model of the protocol, with all guards and without each (a minute or two on 2 cores)
	go run ./proof/model

.PHONY: test-playground
test-playground: playground/node_modules ## Run the tests of the playground that need no browser
	npm --prefix playground test

.PHONY: fuzz
fuzz: ensure-postgres ## Fuzz each target for FUZZTIME (10s)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: ensure-postgres ## Soak each database for SOAK (10m) with operations drawn from SEED, and check every key's history
	go test -count=1 -v -timeout 0 ./proof/soak -run 'TestSoak$$' -args -soak $(SOAK) -seed $(SEED) -histories '$(CURDIR)/$(HISTORIES)'

.PHONY: soak-pooler
soak-pooler: ensure-postgres ## Soak PostgreSQL with servers that reach it through PgBouncer
	go test -count=1 -v -timeout 0 ./proof/soak -run 'TestSoak$$' -args -pooler -soak $(SOAK) -seed $(SEED) -histories '$(CURDIR)/$(HISTORIES)'

.PHONY: failover
failover: ensure-postgres ## Soak three PostgreSQL servers under Patroni (installed by apt) until their primary was killed FAILOVERS (10) times
	scripts/ensure-failover.sh
	go test -count=1 -v -timeout 0 ./proof/soak -run 'TestSoak$$' -args -failovers $(FAILOVERS) -seed $(SEED) -histories '$(CURDIR)/$(HISTORIES)'

.PHONY: guards
guards: ensure-postgres ## Take each guard (or WITHOUT) out of the engine in turn, soak each database for up to GUARD (1m, or 0) until something goes wrong, and run its test
	go run ./proof/model -engine -soak $(GUARD) -without '$(WITHOUT)'

.PHONY: bench
bench: build bench/postgraphile/node_modules ensure-postgres ## Measure what coexistence costs beside what it is held against, for SCALE (100k) customers, RUNS (3) times, or only what ONLY matches
	go build -trimpath -o bin/bench ./bench
	scripts/with-postgres.sh bin/bench --rows '$(SCALE)' --runs '$(RUNS)' $(if $(ONLY),--only '$(ONLY)')

.PHONY: browser
browser: build playground/node_modules ## Test the web pages in a browser, against a server of their own
	scripts/ensure-chromium.sh
	scripts/browser.sh bin/coexist

.PHONY: attack
attack: ensure-postgres ## Send hostile requests to a server of its own, and print what each gets and how fast (a minute)
	go test -count=1 -v . -run 'TestHostileRequestsAreRefused$$'

.PHONY: e2e
e2e: build e2e/node_modules ensure-postgres ## Run the audits, real clients and their tools against the server, on DATABASES (sqlite,postgres)
	DATABASES=$(DATABASES) scripts/with-postgres.sh node e2e/run.mjs bin/coexist

.PHONY: check-generate
check-generate: ## Fail if graph/ is not what schema.graphqls generates
	scripts/unchanged.sh $(MAKE) --no-print-directory generate

.PHONY: check-playground
check-playground: ## Fail if playground/dist is not what the sources build
	scripts/unchanged.sh $(MAKE) --no-print-directory playground

.PHONY: check-swap
check-swap: ## Fail if the sample cannot be swapped for another entity
	scripts/swap-sample.sh

.PHONY: check-end
check-end: ensure-postgres ## Fail unless V2 is served without V1's tables once the coexistence steps are cut out
	scripts/with-postgres.sh scripts/check-end.sh

.PHONY: verify
verify: ## Run every check, those of CI and the longer ones
	$(MAKE) check-generate
	$(MAKE) check-playground
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) test-hostile
	$(MAKE) test-pooler
	$(MAKE) test-playground
	$(MAKE) check-swap
	$(MAKE) check-end
	$(MAKE) fuzz
	$(MAKE) e2e
	$(MAKE) browser

.PHONY: clean
clean: ## Remove what was built, and the sample database
	rm -rf bin playground/node_modules e2e/node_modules e2e/build coexist coverage.out coexist.db coexist.db-wal coexist.db-shm

.PHONY: ensure-postgres
ensure-postgres:
	@scripts/ensure-postgres.sh

# Compiling the linter takes minutes, so it is kept.
$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@

playground/node_modules e2e/node_modules bench/postgraphile/node_modules: %/node_modules: %/package-lock.json
	npm --prefix $* ci --no-audit --no-fund
	touch $@
