# Every target sets up .venv first if it is missing or older than pyproject.toml. Needs Python 3.11 or later, and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# By a path, and not by a hook: a clone is a folder of the package's name, which Python would take for the package.
EDITABLE := --config-settings editable_mode=compat --editable

# What CI runs, in this order.
CHECKS := demo package versions fuzz debug lint types test

# Tests start hundreds of processes, and each imports the package: compile it once.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -W error -m pytest
# One process more than cores: many tests wait.
IN_PARALLEL := -n 3 --dist worksteal

.PHONY: demo test coverage rest fuzz debug serve cluster lint types mypy mypy-before pyright bench versions package check format clean

demo: $(READY)  ## run the quickstart on the embedded engine
	@$(BIN)/python examples/quickstart.py

test: $(READY)  ## run the fast tests, warnings as errors; with NDB_TESTS=all, as in `make check`, the slow ones too
	@$(PYTEST) $(if $(filter all,$(NDB_TESTS)),--ignore=tests/fuzz,-m "not slow") $(IN_PARALLEL) $(ARGS)

coverage: $(READY)  ## run all tests, slow ones too, but those of `rest`, and fail unless they take 97 % of all branches
	@$(BIN)/python .ci/coverage.py $(ARGS)

rest: $(READY)  ## run the tests that `coverage` and `fuzz` leave out: they judge time or memory, or repeat what others do
	@$(PYTEST) --ignore=tests/fuzz -m unmeasured $(IN_PARALLEL) $(ARGS)

fuzz: $(READY)  ## 100,000 mutated requests, 5,000 connections of garbage; NDB_FUZZ_SEED=N is another run, =random any
	@NDB_FUZZ_REQUESTS=$${NDB_FUZZ_REQUESTS:-100000} NDB_FUZZ_CONNECTIONS=$${NDB_FUZZ_CONNECTIONS:-5000} \
		$(PYTEST) tests/fuzz $(ARGS)

debug: $(READY)  ## the tests of everything asynchronous that uvloop runs too, in asyncio's debug mode
	@PYTHONASYNCIODEBUG=1 $(PYTEST) tests/client tests/server tests/transport tests/protocol \
		-m "not slow or loop" -n 2 $(ARGS)

serve: $(READY)  ## run the server on ws://127.0.0.1:1987/
	@$(BIN)/ndb-models serve $(ARGS)

cluster: $(READY)  ## run a Valkey cluster of six nodes on free ports until Ctrl-C, and print its URI
	@$(BIN)/python -m tests.redis_servers

lint: $(READY)  ## ruff: lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: mypy mypy-before pyright  ## mypy in strict mode, our plugin in the mypy before, and pyright on what users see

mypy: $(READY)
	@$(BIN)/mypy

# Tests of the plugin in the minor version of mypy before the installed one.
mypy-before: .venv/.ready-mypy-before
	@PYTHONPATH=.venv/mypy-before $(BIN)/python -m mypy --version
	@PYTHONPATH=$(CURDIR)/.venv/mypy-before $(PYTEST) -q tests/typing/test_checkers.py -k "mypy_says or daemon" $(ARGS)

pyright: $(READY)
	@$(BIN)/basedpyright
	@PYTHONPATH=. PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/basedpyright --verifytypes ndb_models --ignoreexternal \
		> .venv/verifytypes.txt || (cat .venv/verifytypes.txt; exit 1)
	@grep "completeness score" .venv/verifytypes.txt

bench: .venv/.ready-bench  ## measure against what people use today; NDB_URI=ws://... uses a server that is running
	@$(BIN)/python -m benchmarks $(ARGS)

versions: $(READY)  ## the fast tests on each CPython of 3.11 to 3.14 that there is, and the asynchronous ones on uvloop
	@$(BIN)/python .ci/versions.py $(ARGS)

package: .venv/.ready-package  ## build the distributions, and run tests of the source against the wheel
	@$(BIN)/python .ci/package.py

# How often the process dies that writes to a file; `make test` kills less.
check: export NDB_CRASHES ?= 100
# All tests run on this version of Python.
check: export NDB_TESTS = all
check: export NDB_FAST_ON ?= OTHERS
check:  ## all that CI runs, every test among it, in about 18 minutes on two cores
	@for step in $(CHECKS); do \
		begun=$$(date +%s); \
		$(MAKE) --no-print-directory --jobs=2 $$step || exit 1; \
		echo "make $$step: $$(($$(date +%s) - begun)) s"; \
	done

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-* .coverage build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + ": set PYTHON=...")'
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --no-compile --quiet --disable-pip-version-check $(EDITABLE) '.[dev]'
	@touch $@

.venv/.ready-package: $(READY)
	@$(BIN)/pip install --no-compile --quiet --disable-pip-version-check $(EDITABLE) '.[dev,package]'
	@touch $@

.venv/.ready-mypy-before: $(READY)
	@rm -rf .venv/mypy-before
	@$(BIN)/pip install --no-compile --quiet --disable-pip-version-check --no-deps --target .venv/mypy-before \
		"mypy<$$($(BIN)/python -c 'from mypy.version import __version__ as v; print(*v.split(".")[:2], sep=".")')"
	@touch $@

.venv/.ready-bench: $(READY)
	@$(BIN)/pip install --no-compile --quiet --disable-pip-version-check $(EDITABLE) '.[dev,bench]'
	@touch $@
