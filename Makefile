# Tributary. `make` alone lists what there is to do.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help up test lint fmt openapi bench soak clean

CARGO ?= cargo
# More arguments for `tributary up`: make up ARGS="--listen 127.0.0.1:9000 --no-demo"
ARGS ?=

help: ## This list
	@echo "Tributary: affiliate tracking you can run yourself"
	echo
	awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: .ci-needs-cargo ## Run it all here: control plane, one edge, a demo shop (data in ./tributary-data)
	@echo "Building (the first time takes some minutes) ..." >&2
	$(CARGO) build -p tributary
	exec $(CARGO) run -q -p tributary -- up $(ARGS)

test: .ci-needs-cargo ## Every test, on SQLite and on PostgreSQL, with a real browser (apt-get installs what is missing)
	@.ci/needs.sh
	TRIBUTARY_PREVIOUS=$$(.ci/previous.sh)
	export TRIBUTARY_PREVIOUS
	$(CARGO) test --workspace --locked
	echo "Once more on PostgreSQL: whatever has a database ..." >&2
	TRIBUTARY_TEST_DATABASE=postgres $(CARGO) test --locked -p control-plane-store -p control-plane-server -p tributary --test it

lint: .ci-needs-cargo ## Formatting, clippy, who depends on whom, licences and banned crates
	@.ci/lint.sh

fmt: .ci-needs-cargo ## Format the sources
	@$(CARGO) fmt --all

openapi: .ci-needs-cargo ## Write the REST description anew: control-plane/server/openapi.json
	@$(CARGO) build -p tributary
	file=control-plane/server/openapi.json
	trap 'rm -f "$$file.new"' EXIT
	$(CARGO) run -q -p tributary -- openapi > "$$file.new"
	mv "$$file.new" "$$file"
	echo "Wrote $$file" >&2

bench: .ci-needs-cargo ## Measure the edge beside nginx, spool and store beside bare writes (docs/benchmarks.md); ONLY=edge|spool|store, ROUNDS
	@loadtest/bench.sh

soak: .ci-needs-cargo ## The long form of whatever must survive: kills, faults, power cuts, restores; then a one-page verdict (MINUTES=30, SEEDS)
	@.ci/soak.sh

clean: ## Remove build output; keeps ./tributary-data and ./.tools
	@$(CARGO) clean

.PHONY: .ci-needs-cargo
.ci-needs-cargo:
	@command -v $(CARGO) > /dev/null || { echo "cargo was not found: install Rust from https://rustup.rs" >&2; exit 1; }
