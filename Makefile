# `make help` lists the targets. Everything sets itself up first; running it again costs seconds.
SHELL := /bin/sh
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Ansible refuses to start under a locale that is not UTF-8.
ifeq ($(LC_ALL)$(LC_CTYPE)$(LANG),)
export LC_ALL := C.UTF-8
endif
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

SCENARIOS := $(patsubst molecule/%/molecule.yml,%,$(sort $(wildcard molecule/*/molecule.yml)))
# How many scenarios run side by side: what two cores carry, since part of their time they wait.
JOBS ?= 3

.PHONY: help setup test-setup demo demo-clean test lint unit scenarios faults test-rebuild town bench clean docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  scenarios: $(SCENARIOS)"

setup: ## install the system packages, the Python environment and the collections
	@scripts/setup

# what only tests need
test-setup: setup
	@scripts/system-packages --tests

demo: setup ## a small town hall in containers: enrol two laptops, equip them, prove it
	@scripts/demo

demo-clean: ## remove the demo's containers and what it wrote
	@scripts/demo --clean

ifdef ROLE
test: test-setup ## lint, unit tests and every scenario (ROLE=x: the scenario of one role)
	@$(MAKE) --no-print-directory scenario-$(ROLE)
else
test: test-setup
	@scripts/test $(JOBS)
endif

lint: setup ## ansible-lint, yamllint, ruff, mypy, shell syntax
	@scripts/lint

unit: test-setup ## the unit tests only
	@mkdir -p var/junit
	@pytest -n $(JOBS) -q tests/unit --junitxml=var/junit/unit.xml

scenario-%: test-setup
	@scripts/scenario $*

faults: test-setup ## kill runs half-way and see the next one converge
	@PYTEST_ADDOPTS='-k faults' scripts/scenario town

test-rebuild: test-setup ## rebuild a laptop from the network in a virtual machine, Secure Boot on (40 minutes)
	@scripts/test-rebuild

bench: setup ## measure what a technician waits for, pyinfra beside it (half an hour, alone on the machine)
	@tests/bench/bench.py

docs: setup ## write the roles' READMEs and the page of settings from their specifications
	@scripts/role_readme.py

town: setup ## begin a town of your own: make town NAME=my-town
	@scripts/town "$(NAME)"

clean: ## remove what tests and demo left behind; never a town's register or records
	@scripts/clean
