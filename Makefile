# Every target works on a fresh machine: it makes .venv first if there is none.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q -c constraints.txt
# torch goes in first and pinned: an open range would fetch several GB of CUDA packages.
TORCH := torch==2.13.0
WORKERS ?= 2
FUZZ_SECONDS ?= 600

.DEFAULT_GOAL := help
.PHONY: help install demo test fuzz check docs build bench clean

help:
	@echo "make install  the environment in .venv, with what running needs"
	@echo "make demo     train a character model for a minute and let it write"
	@echo "make test     all tests"
	@echo "make fuzz     damaged files for every reader, for FUZZ_SECONDS in all"
	@echo "make check    ruff, format, types, direction of imports"
	@echo "make docs     the manual in docs/_build/html"
	@echo "make build    the wheels in dist/, tried outside the checkout"
	@echo "make bench    speeds on this machine"

.venv/.made:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml constraints.txt
	@echo "Filling .venv; torch is large, so the first time takes some minutes."
	$(PIP) $(TORCH)
	$(PIP) -e .
	@touch $@

.venv/.dev: .venv/.installed
	$(PIP) -e '.[dev]'
	@touch $@

# The demo ends with a picture of its learning curve.
.venv/.plot: .venv/.installed
	$(PIP) -e '.[plot]'
	@touch $@

.venv/.docs: .venv/.installed
	$(PIP) -e '.[docs]'
	@touch $@

install: .venv/.installed

demo: .venv/.plot
	$(BIN)/unrolled demo

# One thread a worker: two workers with two threads each would wait for one another.
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

# atheris has wheels for Linux alone; where pip finds none, hypothesis searches by itself and says so.
fuzz: .venv/.dev
	$(PIP) atheris || true
	cd tests && ../$(BIN)/python -m fuzzing --seconds $(FUZZ_SECONDS)

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

docs: .venv/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

build: .venv/.installed
	rm -rf build dist
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	$(BIN)/python tools/build_runtime.py dist
	$(PYTHON) tools/try_wheel.py dist constraints.txt $(TORCH)

bench: .venv/.installed
	$(BIN)/unrolled bench

clean:
	rm -rf build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
