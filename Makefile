# Every target sets up what it needs in .venv, once; see CONTRIBUTING.md for what each check is.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# pccore checks its annotations at run time. Processes take a file at a time, in order, so that the
# tests of a file share its fixtures; there is one more of them than cores, as tests that wait for
# clusters leave a core idle. NumPy and SciPy get one thread each: two processes that share the same
# cores take twenty times as long.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := MUPC_CHECK_TYPES=1 OPENBLAS_NUM_THREADS=1 \
	$(BIN)/pytest -n $(PROCESSES) --maxprocesses 5 --dist loadfile --no-loadscope-reorder

# test-fast leaves out files whose tests start processes or clusters, or compile for long.
FAST := tests/test_layers.py tests/test_systems.py tests/results tests/transfer \
	$(addprefix tests/pccore/test_,activations.py data_idx.py parameterisations.py starts.py) \
	$(addprefix tests/jobs/test_,cli_errors.py cluster.py progress.py tables.py worker.py)
SLOWER := $(addprefix --ignore=tests/results/test_,ledger_crashes.py ledger_every_byte.py \
	ledger_golden.py ledger_properties.py ledger_s3.py report_bounds.py report_figures.py \
	report_laws.py report_page.py) $(addprefix --ignore=tests/transfer/test_,admission.py \
	driver.py driver_ledger.py dry_run.py family.py law.py modes.py own_families.py pruning.py \
	reused_names.py rules.py sharing.py train.py)

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast check check-all lint types format docs bench gpu dist size

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 16

install: $(READY)  ## set everything up in .venv

run: $(READY)  ## the main job on the embedded digits: tune, transfer to 128 layers, judge, report
	$(BIN)/mupc run examples/digits.yaml
	@echo
	@echo "To use mupc in this terminal:  source $(BIN)/activate"
	@echo "or call it by its path:        $(abspath $(BIN))/mupc"
	@echo "Your own experiment:           mupc new, then mupc run experiment.yaml"

test: $(READY)  ## the tests, without those that take minutes
	$(PYTEST) -m "not slow"

test-fast: $(READY)  ## unit tests of the spec, the search, the judge and the ledger
	$(PYTEST) -m "not slow and not ray" $(FAST) $(SLOWER)

check: lint types test  ## what must hold before a commit: lint, types, layer rules, tests

# Compiled with the optimisations that users have (tests/conftest.py).
check-all: export JAX_DISABLE_MOST_OPTIMIZATIONS = 0
check-all: lint types $(READY)  ## the same with slow tests, optimised programs and new random examples
	$(PYTEST) --hypothesis-profile new

lint: $(READY)  ## ruff's rules and formatting, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo

types: $(READY)  ## mypy over the packages
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A warning, such as a link that leads nowhere, ends the build.
docs: $(READY)  ## the site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "See it: $(BIN)/python -m http.server --directory build/site"

bench: $(READY)  ## the short measurements against benchmarks/record.json, in minutes
	$(BIN)/python benchmarks/bench.py

gpu: $(READY)  ## what a GPU is to show, in one table within eight minutes; status 2 without one
	$(BIN)/python benchmarks/gpu.py

dist: $(READY)  ## the wheel and the source distribution in dist/, checked
	rm -rf dist build mupc.egg-info
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

size: $(READY)  ## lines by package, longest files and functions, import cycles
	$(BIN)/python benchmarks/size.py

# A set-up that was cut short has no stamp, so the next command repeats it. pip would compile
# 22,000 files one after the other, compileall does so on all cores. Some are templates, and fail.
# The version in mupc/__init__.py becomes part of the installed metadata.
$(READY): pyproject.toml constraints.txt mupc/__init__.py
	@python=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "mupc needs Python 3.11 or newer, and none is on PATH (python3 is $$(python3 --version 2>&1));" \
	    "install one, or name it: make install PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	[ -x $(BIN)/pip ] || $$python -m venv --clear $(VENV)
	@echo "Setting up $(VENV) with $$($(BIN)/python --version): once, for a few minutes ..."
	@$(BIN)/pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true
	@touch $@
