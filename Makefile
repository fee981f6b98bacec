SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# ---------------------------------------------------------------------------------------------- what it works with
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-$(shell cat requirements/dev.txt pyproject.toml | sha256sum | cut -c1-16)
UNFINISHED := $(VENV)/.unfinished
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The lab that tests run in is not the one of `make lab`: both may be up.
TEST_LAB := .test
PYTEST := $(BIN)/python -m pytest
# Whoever looks into hosts must be root. Nothing is left in the checkout that its owner could not remove.
AS_ROOT := $(if $(SUDO),$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(if $(ISTHMUS_LAB_CACHE),ISTHMUS_LAB_CACHE=$(ISTHMUS_LAB_CACHE)))
IN_A_LAB := $(AS_ROOT) $(BIN)/python -m tests.in_a_lab $(TEST_LAB) $(PYTEST) $(if $(SUDO),-p no:cacheprovider)
say = @printf '\n\033[1m==> %s\033[0m\n' '$(1)'

.PHONY: help quickstart lab lab-down check lint types unit test test-integration test-e2e bench venv wire lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

# -------------------------------------------------------------------------------------------------------- to try it
quickstart: venv ## Two VMs on a VLAN of a real Neutron, in front of your eyes; leaves the lab up
	@$(BIN)/python -m quickstart

lab: venv ## A data centre on this machine: Neutron, two bare hosts, the engine; where they are is in .lab/env
	@$(BIN)/python -m lab up

lab-down: venv ## Remove the lab
	@$(BIN)/python -m lab down

# -------------------------------------------------------------------------------------------------------- to test it
check: lint types ## Lint, types and the unit tests but for the long matrices and attacks: under two minutes
	$(call say,unit tests)
	@$(PYTEST) -n 3 --dist loadfile -m 'not long' tests/unit

lint: venv
	$(call say,lint)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: venv
	$(call say,types)
	@$(BIN)/mypy

unit: venv
	$(call say,all unit tests)
	@$(PYTEST) -n 3 --dist loadfile tests/unit

test: lint types unit ## Everything: lint, types, unit tests, then a real Neutron and real VMs in a lab of its own: under 40 minutes
	$(call say,integration and end to end)
	@$(IN_A_LAB) --durations=15 tests/integration tests/acceptance tests/e2e

test-integration: venv ## The tests against a real Neutron, in a lab of its own
	@$(IN_A_LAB) tests/integration

test-e2e: venv ## The tests with real hosts and VMs, in a lab of its own
	@$(IN_A_LAB) tests/acceptance tests/e2e

bench: venv ## Time from start to first ping against the floor and against oVirt's way, in the lab
	@$(BIN)/python -m lab up
	@$(AS_ROOT) $(BIN)/python -m benchmarks

# --------------------------------------------------------------------------------------------------------- to make it
venv: $(STAMP) ## The Python environment, from the lock

# Killed half way, it starts afresh: pip may have put down a package without its programs.
$(STAMP):
	@$(MAKE) debian-packages
	@if [ -e $(UNFINISHED) ]; then rm -rf $(VENV); fi
	$(call say,Python environment in $(VENV): about a minute)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Isthmus needs Python 3.11 or newer; this is " + sys.version)'
	@mkdir -p $(VENV) && touch $(UNFINISHED)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.made-from-* $(UNFINISHED)
	@touch $@

# What building some of the locked packages takes (libvirt's bindings, oVirt's SDK); asked for only where it is missing.
.PHONY: debian-packages
debian-packages:
	@wanted="gcc libc6-dev libvirt-dev libxml2-dev pkg-config"; \
	if [ -z "$(PYTHON)" ]; then wanted="$$wanted python3 python3-venv python3-dev"; else \
	    $(PYTHON) -c 'import ensurepip' 2>/dev/null || wanted="$$wanted python3-venv"; \
	    $(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || wanted="$$wanted python3-dev"; \
	fi; \
	if ! command -v dpkg-query >/dev/null; then \
	    echo "This is no Debian: see to what corresponds to $$wanted"; exit 0; \
	fi; \
	missing=""; \
	for package in $$wanted; do \
	    dpkg-query -W -f '$${db:Status-Abbrev}' "$$package" 2>/dev/null | grep -q '^ii' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	    printf '\n\033[1m==> %s\033[0m\n' "Debian packages:$$missing"; \
	    $(SUDO) apt-get -o DPkg::Lock::Timeout=300 update; \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $$missing; \
	fi

wire: ## Generate src/isthmus/wire from its .proto
	@$(PYTHON) -m venv build/wire
	@build/wire/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/wire.txt
	@build/wire/bin/python -m grpc_tools.protoc -Isrc --python_out=src --pyi_out=src --grpc_python_out=src src/isthmus/wire/agent.proto

# From PyPI alone, whatever this machine's pip is told: nothing of its settings gets into the locks.
COMPILE := env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
    CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: venv ## Lock the newest releases that pyproject.toml allows
	@$(COMPILE) --output-file requirements/engine.txt pyproject.toml
	@$(COMPILE) --extra dev --constraint requirements/engine.txt --output-file requirements/dev.txt pyproject.toml
	@$(COMPILE) --output-file requirements/wire.txt requirements/wire.in

clean: ## Remove what was built, and the lab; its cache stays
	@if [ -d .lab ]; then $(BIN)/python -m lab down; fi
	@$(AS_ROOT) rm -rf $(TEST_LAB) build
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
