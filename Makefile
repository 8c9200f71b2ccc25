# Everything runs in .venv, which the first target that needs it makes. Needs Python 3.11 or later and make.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
TEST_WORKERS ?= 2
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: install demo serve test test-thorough check docs format bench bench-quick clean

install: .venv/installed

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "hashserver needs Python 3.11 or later; name one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e '.[dev]'
	@touch $@

.venv/installed-bench: .venv/installed-dev
	$(PIP) -e '.[dev,bench]'
	@touch $@

demo: install  ## load sample sets, serve them, check a folder, print what matched
	$(BIN)/python tools/demo.py

serve: install  ## serve the store in ./hashserver-data on 127.0.0.1:8080
	$(BIN)/hashserver serve

test: .venv/installed-dev  ## all tests, in TEST_WORKERS processes; each file of tests stays in one of them
	$(BIN)/python -m pytest tests -n $(TEST_WORKERS) --dist=loadfile --no-loadscope-reorder -p no:benchmark

test-thorough: .venv/installed-dev  ## the same with twice the kills; one process, which takes long
	HASHSERVER_TESTS=thorough $(BIN)/python -m pytest tests -p no:benchmark

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/write_docs.py --check

docs: .venv/installed-dev  ## write docs/commands.md, settings.md and reference.md from the code
	$(BIN)/python tools/write_docs.py

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-bench  ## every benchmark, peers beside ours; takes a while and about 12 GB of disk
	$(BIN)/python -m pytest benchmarks --benchmark-columns=min,median,ops,rounds -p no:cacheprovider

bench-quick: .venv/installed-dev  ## the benchmarks that guard the floors
	HASHSERVER_BENCH=quick $(BIN)/python -m pytest benchmarks --benchmark-columns=min,median,ops,rounds -p no:cacheprovider

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
