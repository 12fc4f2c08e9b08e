# Everything here sets itself up in a fresh clone: the first target that needs Python makes .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test stories check bench scale format clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(INSTALLED) ## start returnclock with a sample market; Ctrl-C stops it
	@$(BIN)/returnclock up --sample

test: $(INSTALLED) ## run the tests against real servers; ARGS="-k sqlite" goes to pytest
	@$(BIN)/python -m tests.servers --install
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

stories: $(INSTALLED) ## play 300 made-up stories on each database (an hour); STORIES=100 plays fewer
	@$(BIN)/python -m tests.servers --install
	@STORIES=$${STORIES:-300} $(BIN)/pytest tests/database/test_any_story.py $(ARGS)

check: $(INSTALLED) ## lint, format, types and import directions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict src
	@$(BIN)/lint-imports --no-logo

bench: $(INSTALLED) ## measure beside bare SQL and other schedulers (some minutes); rewrites docs/bench.json and .svg
	@$(BIN)/python -m tests.servers --install
	@$(BIN)/python -m tests.benchmarks.compare --into docs

scale: $(INSTALLED) ## measure with ten million deadlines (ten minutes, 30 GB); rewrites docs/scale.json and .svg
	@$(BIN)/python -m tests.servers --install
	@$(BIN)/python -m tests.benchmarks.scale --into docs $(ARGS)

format: $(INSTALLED) ## rewrite the code as the linter wants it
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## remove the virtual environment and the caches; data is kept
	@rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "returnclock needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  echo "The virtual environment could not be made. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	@echo "Installing returnclock into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[postgresql,mariadb,ops,sentry,otel,dev,bench]'
	@touch $@
