# Every target sets up .venv first if it is missing or older than pyproject.toml. Needs Python 3.11 or later, and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INSTALL := $(BIN)/python .ci/install.py $(BIN)/python

# Tests start hundreds of processes, and each imports the package: compile it once.
unexport PYTHONDONTWRITEBYTECODE

# A test that hangs tells where, after five minutes.
PYTEST := .ci/in-memory $(BIN)/python -W error -m pytest -o faulthandler_timeout=300
# One process more than cores: many tests wait.
IN_PARALLEL := -n 3 --dist worksteal

SITE := NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs

# Judges how long the event loop is held, so it runs in a process of its own, with `fuzz`.
HELD := tests/engine/test_held_loop.py

.PHONY: demo shop image test coverage rest fuzz debug serve cluster lint types mypy mypy-before pyright bench versions environments \
	package docs docs-serve check format clean

demo: $(READY)  ## run the quickstart on the embedded engine
	@$(BIN)/python examples/quickstart.py

shop: $(READY)  ## run the shop of examples/shop on http://localhost:8000/, with its sessions in shop.db
	@SHOP_DEVELOPMENT=1 $(BIN)/uvicorn --app-dir examples shop.app:app $(ARGS)

test: $(READY)  ## run the fast tests, warnings as errors; `coverage` and `rest` run the slow ones too
	@$(PYTEST) -m "not slow" $(IN_PARALLEL) $(ARGS)

coverage: $(READY)  ## run all tests but those of `rest` and `fuzz`, and fail unless they take 97 % of all branches
	@.ci/in-memory $(BIN)/python .ci/coverage.py $(IN_PARALLEL) -o faulthandler_timeout=300 $(ARGS)

rest: $(READY)  ## run the tests that `coverage` and `fuzz` leave out: they judge time or memory, or repeat what others do
	@$(PYTEST) --ignore=tests/fuzz --ignore=$(HELD) -m unmeasured $(IN_PARALLEL) $(ARGS)

fuzz: $(READY)  ## 100,000 mutated requests, 5,000 connections of garbage, and the costliest requests there are; NDB_FUZZ_SEED=N is another run, =random any
	@NDB_FUZZ_REQUESTS=$${NDB_FUZZ_REQUESTS:-100000} NDB_FUZZ_CONNECTIONS=$${NDB_FUZZ_CONNECTIONS:-5000} \
		$(PYTEST) tests/fuzz $(HELD) $(ARGS)

debug: $(READY)  ## the tests of everything asynchronous, with a third of their parameters, in asyncio's debug mode
	@PYTHONASYNCIODEBUG=1 $(PYTEST) tests/client tests/server tests/transport tests/protocol \
		-m "not slow or loop" --share=2/3 $(ARGS)

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
	@.ci/in-memory $(BIN)/python .ci/versions.py $(ARGS)

environments: $(READY)  ## set up what `versions` runs the tests in
	@$(BIN)/python .ci/versions.py environments

package: $(READY)  ## build the distributions, and run tests of the source against the wheel
	@.ci/in-memory $(BIN)/python .ci/package.py

# Not a part of `check`: as root, with mmdebstrap, buildah, umoci and runc.
image: $(READY)  ## build the container image from packages of Debian into build/image.tar, and look through it
	@mkdir -p build
	@$(BIN)/python deploy/build_image.py build/image.tar
	@NDB_IMAGE=$(CURDIR)/build/image.tar $(PYTEST) tests/test_image.py $(ARGS)

docs: $(READY)  ## build the site of docs/ into build/site; a link, an anchor or a public name that is missing fails
	@$(SITE) build $(ARGS)
	@echo "build/site/index.html"

docs-serve: $(READY)  ## show the site on http://127.0.0.1:8001/, and again at each change
	@$(SITE) serve --dev-addr 127.0.0.1:8001 --watch ndb_models $(ARGS)

check: $(READY)  ## all that CI runs, every test among it; .ci/check.py says in which order, and how long it takes
	@$(BIN)/python .ci/check.py

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-* .coverage build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + ": set PYTHON=...")'
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --no-compile --quiet --disable-pip-version-check uv || echo "uv cannot be installed, pip does all"
	@$(INSTALL) --editable '.[dev]'
	@touch $@

.venv/.ready-mypy-before: $(READY)
	@rm -rf .venv/mypy-before
	@$(INSTALL) --no-deps --target .venv/mypy-before \
		"mypy<$$($(BIN)/python -c 'from mypy.version import __version__ as v; print(*v.split(".")[:2], sep=".")')"
	@touch $@

.venv/.ready-bench: $(READY)
	@$(INSTALL) --editable '.[dev,bench]'
	@touch $@
