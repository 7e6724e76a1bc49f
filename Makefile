# `make run` and `make test` do all the set-up: they need make and Python 3.11 or newer, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test test-slow lint format docs gallery bench bench-full clean

run: $(VENV)/.ready
	$(BIN)/harness run jobs/quickstart.yaml

# two processes; the tests that start Ray stay in one of them (tests/conftest.py)
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow

# the site, in docs/_build/html; its references are written from the code first
docs: $(VENV)/.ready
	$(BIN)/python docs/_generate.py
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# reports of the shipped jobs that have results here, which `make docs` puts into the site
gallery: $(VENV)/.ready
	$(BIN)/python docs/_gallery.py

# each comparison once; `bench-full`: medians of 5. BEFORE is a checkout of the commit to compare with (2d32b23)
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/compare.py $(if $(BEFORE),--before $(BEFORE))

bench-full: $(VENV)/.bench
	$(BIN)/python benchmarks/compare.py --repeat 5 $(if $(BEFORE),--before $(BEFORE))

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
