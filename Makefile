# Everything a person or a machine does with this checkout. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo check test bench behaviour-bench crash fuzz lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## Install into .venv and watch an agent meet its firewall (root is not needed)
	@$(VENV)/bin/python -m tests.provision sandbox
	@$(VENV)/bin/safebox demo

check: $(VENV)/.installed-dev ## Lint, types, unit and policy tests: what to run before a commit
	@$(VENV)/bin/python -m tests.check

test: ## Everything, on the real parts (as root it installs the missing ones first)
	@.ci/python $(PYTHON)
	@$(PYTHON) -m tests.suite

bench: $(VENV)/.installed-dev ## Measure, print a table, write build/bench.json
	@$(VENV)/bin/python -m tests.provision opa anvil
	@$(VENV)/bin/python -m tests.bench

behaviour-bench: $(VENV)/.installed-dev ## Measure what the behaviour detectors find and what they wrongly take for it
	@$(VENV)/bin/python -m tests.bench.behaviour

crash: $(VENV)/.installed-dev ## Kill the firewall 500 times under load and hold the world against its ledger
	@$(VENV)/bin/python -m tests.provision sandbox anvil
	@$(VENV)/bin/python -m tests.crash

fuzz: $(VENV)/.installed-dev ## Mutate transactions, typed data and requests to the signer for a minute
	@$(VENV)/bin/python -m tests.fuzz

lock: $(VENV)/.installed-dev ## Resolve the newest versions that fit and write both lock files
	@.ci/lock $(VENV)

clean: ## Remove what was built or installed here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

# Both hold the same versions; the second has the tools of a developer on top, so it satisfies the first.
$(VENV)/.installed: requirements.lock pyproject.toml
	@.ci/install $(PYTHON) $(VENV) requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml
	@.ci/install $(PYTHON) $(VENV) requirements-dev.lock
	@touch $(VENV)/.installed $@
