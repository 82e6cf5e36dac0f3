# Two commands for a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= demo-out
OLDEST := .venv-oldest

.PHONY: help demo test test-slow test-fast test-oldest test-soak lint format publish results-pages docs-reference docs clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

# constraints.txt pins the CPU build of torch and every transitive version; a bare
# `pip install torch` would fetch gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)  ## train, explain and evaluate on embedded data; writes demo-out/
	$(BIN)/sidelight demo --out $(OUT)

test: lint test-fast  ## lint, types, layers, and the tests but the slow ones: ten minutes on two cores

# one thread for each of the two workers: more would wait for each other
test-fast: $(STAMP)  ## the same tests without lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not realdata and not soak"

test-slow: $(STAMP)  ## the slow tests, and those with real data: twenty minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "(slow or realdata) and not soak"

# three gigabytes, because torch of that age brings CUDA along
test-oldest: $(STAMP)  ## the tests of test-fast with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv $(OLDEST)
	$(BIN)/python tests/oldest_versions.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install -q --disable-pip-version-check -c $(OLDEST)/constraints.txt -e '.[dev]'
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n 2 -m "not slow and not realdata and not soak"

test-soak: $(STAMP)  ## what takes minutes: stress, kills, thousands of calls
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m soak

lint: $(STAMP)  ## ruff, mypy, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

publish:  ## copy a run's summary into results/: make publish RUN=mnist
	mkdir -p results/$(RUN)
	cp runs/$(RUN)/config.yaml runs/$(RUN)/fit.json runs/$(RUN)/results.json runs/$(RUN)/table.md results/$(RUN)/

results-pages: $(STAMP)  ## make docs/results from results/ and docs/results/notes
	$(BIN)/python docs/make_results.py

docs-reference: $(STAMP)  ## make docs/reference/options.md from the code
	$(BIN)/python docs/make_options.py

docs: $(VENV)/.docs  ## the documentation as a site: site/index.html
	$(BIN)/python docs/make_site.py site

# once, because the site itself needs no network
$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:  ## remove what the targets above made
	rm -rf $(VENV) $(OLDEST) demo-out runs site .pytest_cache .mypy_cache .ruff_cache
