# Run `make` or `make help` for the list. Binaries are built from the root
# module alone (GOWORK=off), as they are released; integration/ is a module of
# its own, joined by go.work, and tests the built binary.
.DEFAULT_GOAL := help
SHELL := /bin/bash

export CGO_ENABLED ?= 0
ROOT := GOWORK=off
DATA_PLANE ?= go
EXAMPLE := docs/examples/kubernetes-dashboard
# Flags for every `go test` of `make test` and `make race`, such as -run or -count.
GOTESTFLAGS ?=
# Where `make test` and `make race` add go test's line of each package, for .ci/run.
PACKAGES_FILE ?=
ROOT_PACKAGES := ./... ./.ci/testreport
# The first run of integration builds an API server: make apiserver does that before.
INTEGRATION_TIMEOUT := 30m
# Beyond staticcheck's defaults: every package says what it is for.
STATICCHECK_FLAGS := -checks inherit,ST1000

# Tests find Envoy in ENVOY. CI must have it; a machine that cannot is told why.
define FIND_ENVOY
if ! ENVOY=$$(.ci/envoy); then \
  if [ "$$CI" = true ]; then exit 1; fi; \
  echo "make: going on without; the tests that need Envoy are skipped." >&2; ENVOY=; \
fi; export ENVOY
endef

.PHONY: help
help: ## Show this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/postern
	$(ROOT) go build -trimpath -o bin/postern ./cmd/postern

.PHONY: demo
demo: build ## Run the example: DATA_PLANE=go (the default) or envoy; Ctrl-C ends it
	@$(ROOT) go build -trimpath -o bin/example-app ./$(EXAMPLE)/app
	@set -e; if [ "$(DATA_PLANE)" = envoy ]; then ENVOY=$$(.ci/envoy); export ENVOY; fi; \
	$(EXAMPLE)/demo.sh bin/postern bin/example-app --data-plane $(DATA_PLANE)

.PHONY: envoy
envoy: ## Install the pinned Envoy into the cache and print its path (or yours: ENVOY=path)
	@.ci/envoy

.PHONY: apiserver
apiserver: ## Build the tests' kube-apiserver, etcd and kubectl into the cache and print their folder (minutes, once)
	@cd integration && GOWORK=off go run ./cluster/apiserver build

.PHONY: cluster
cluster: ## Run that API server, with nothing behind it, and print a kubeconfig; Ctrl-C ends it
	@cd integration && GOWORK=off go build -o ../bin/apiserver ./cluster/apiserver
	@bin/apiserver

.PHONY: test
test: build bin/testreport ## Run every test, real Envoy included; list what was skipped and slow
	@set -eo pipefail; $(FIND_ENVOY); export POSTERN="$(CURDIR)/bin/postern"; \
	{ $(ROOT) go test -json $(GOTESTFLAGS) $(ROOT_PACKAGES); \
	  if [ -f integration/go.mod ]; then \
	    cd integration; go test -json $(GOTESTFLAGS) -timeout $(INTEGRATION_TIMEOUT) ./...; \
	  fi; } | bin/testreport $(PACKAGES_FILE)

.PHONY: race
race: bin/testreport ## Run the tests of the concurrent parts with the race detector (needs a C compiler)
	@set -eo pipefail; $(FIND_ENVOY); \
	CGO_ENABLED=1 $(ROOT) go test -race -json $(GOTESTFLAGS) ./controlplane/... ./dataplane/... | \
	bin/testreport $(PACKAGES_FILE)

.PHONY: chaos
chaos: build ## Edit, rotate, drain and kill under load, in the long form (some 15 minutes); CHAOS_SEED=N repeats the edits
	@set -e; $(FIND_ENVOY); export POSTERN="$(CURDIR)/bin/postern"; cd integration; \
	CHAOS=long go test -p 1 -count=1 -v $(GOTESTFLAGS) -timeout $(INTEGRATION_TIMEOUT) ./chaos ./pods

.PHONY: bin/testreport
bin/testreport:
	@$(ROOT) go build -o bin/testreport ./.ci/testreport

.PHONY: check
check: ## Check everything that is not a test: formatting, vet, staticcheck, generated files
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then \
	  echo "check: not formatted; run gofmt -w on:" >&2; echo "$$files" >&2; exit 1; fi
	$(ROOT) go build $(ROOT_PACKAGES)
	$(ROOT) go vet $(ROOT_PACKAGES)
	@set -e; staticcheck=$$($(ROOT) go tool -n -modfile=tools.mod staticcheck); \
	echo "staticcheck"; \
	$(ROOT) "$$staticcheck" $(STATICCHECK_FLAGS) $(ROOT_PACKAGES); \
	if [ -f integration/go.mod ]; then \
	  echo "go vet and staticcheck of integration"; cd integration; \
	  go vet ./...; "$$staticcheck" $(STATICCHECK_FLAGS) ./...; \
	fi
	@.ci/generated

.PHONY: generate
generate: ## Write the generated files anew
	$(ROOT) go generate ./...

.PHONY: golden
golden: ## Write the golden files of the tests anew; read the diff before you commit it
	@set -e; $(FIND_ENVOY); UPDATE=1 $(ROOT) go test -count=1 $(GOTESTFLAGS) $(ROOT_PACKAGES)

.PHONY: ci
ci: ## Do what CI does: check, test, race, and tell where the time went
	@.ci/run

.PHONY: images
images: ## Build the container images for linux by buildah, podman or docker: IMAGES=registry/team TAG=1.2.3
	GOOS=linux CGO_ENABLED=0 $(ROOT) go build -trimpath -o bin/postern ./cmd/postern
	@.ci/images

.PHONY: clean
clean: ## Remove bin/; the cache in ~/.cache/postern stays
	rm -rf bin
