# Thin names over the tools. Everything is set up on first use and again only when its inputs changed.
#   make run     sets up and shows the main job: a demo with local Pods        make test   every test
#   make check   the quick loop: lint, types, unit and fault tests, no cluster  make build  the set-up alone
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make
RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -name '*.rs' -o -name Cargo.toml)

.PHONY: help run test check build fmt lint docs bench fuzz bench-cluster cluster requirements clean

help:
	@sed -n 's/^#   //p' $(MAKEFILE_LIST)

run: build
	@$(BIN)/fairlead demo

build: $(STAMPS)/core

check: build
	@$(BIN)/python tests/run.py check

test: build cluster
	@$(BIN)/python tests/run.py test

fmt: $(STAMPS)/deps
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix . ; cargo fmt

lint: build
	@$(BIN)/python tests/run.py lint

# Pages are written by hand, figures by bench and bench-cluster: checked is that links lead somewhere, as in `check`.
docs: build
	@$(BIN)/pytest -q tests/docs

# The cluster's programs, where this machine allows a cluster at all (77: it does not; why is told, and counted later).
cluster: $(STAMPS)/deps
	@cluster/build || { code=$$?; [ $$code = 77 ] || exit $$code; echo "the cluster's part will be counted as not run"; }

# The data plane beside nginx and HAProxy, in a network namespace of its own; PEERS=envoy takes Envoy too.
bench: build
	@$(BIN)/python -m bench --peers "$(PEERS)"

FUZZ_SECONDS ?= 600
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "error: cargo-fuzz is missing: cargo install cargo-fuzz"; exit 1; }
	@FAIRLEAD_FUZZ_ROUNDS=0 FAIRLEAD_FUZZ_CORPUS=$(CURDIR)/fuzz/corpus cargo test --quiet --locked \
	  -p fairlead-http1 -p fairlead-proxy --test fuzz_targets --test fuzz
	@for target in request_head response_head chunks connection proxied_requests proxied_responses; do mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) || exit 1; done

bench-cluster: build cluster
	@$(BIN)/python -m bench.cluster

$(VENV)/bin/uv: requirements/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "error: cannot make a virtual environment: install the venv module (python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(STAMPS)/deps: $(VENV)/bin/uv requirements/dev.txt
	@mkdir -p $(STAMPS)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@touch $@

# `fast` is optimised and quick to rebuild; `pip install .` builds the release profile.
$(STAMPS)/core: $(STAMPS)/deps $(RUST_SOURCES)
	@command -v cargo >/dev/null || { echo "error: cargo is missing: install Rust 1.89 or newer"; exit 1; }
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin develop --quiet --uv --profile fast
	@touch $@

requirements: $(VENV)/bin/uv
	@for name in uv run dev bench; do $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --universal \
	  --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt; done

clean:
	rm -rf $(STAMPS) target
