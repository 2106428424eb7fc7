# The front door. Each target is one line of a script or a cargo command; nothing lives only here.

# The scripts are bash; so is this.
SHELL := bash
# Arguments for `make run`, `make bench` and `make torture`: make run ARGS="--verbose"
ARGS ?=
# Shell programs, found by their first line so that a new script is checked from its first day.
SHELL_SCRIPTS = $(shell grep -lsE '^#!.*[/ ](ba)?sh' scripts/* .ci/*)

.DEFAULT_GOAL := help
.PHONY: help setup console build run test torture lint bench

help: ## Show this list
	@grep -hE '^[a-z]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.* ## /\1|/' | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: ## Install what building and running need (PostgreSQL, build tools)
	scripts/setup

console: ## Build the web console, which the next build takes into the binary
	scripts/console --strict

build: ## Build the dormouse binary, optimised
	scripts/console
	cargo build --release --locked -p dormouse-cli

run: ## Set up, build and start Dormouse (ARGS="...")
	scripts/run $(ARGS)

test: ## Run every test; the last line is the sum
	scripts/test

torture: ## Break a server at random for long (ARGS="--seed N --seconds S --runs R")
	cargo build --locked -p dormouse-cli
	cargo run --quiet --locked -p dormouse-tests --bin torture -- $(ARGS)

lint: ## Check shell scripts, types of the console, format, rules of the house, clippy
	@for script in $(SHELL_SCRIPTS); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELL_SCRIPTS); else echo 'lint: no shellcheck here, scripts were only parsed'; fi
	scripts/console
	cargo fmt --all --check
	cargo run --quiet --locked -p xtask -- tidy
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: ## Measure (ARGS="..." goes to the benchmark program)
	cargo run --release --locked -p benches -- $(ARGS)
