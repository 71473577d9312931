# Two commands do everything on a fresh machine: `make demo` and `make test`. Both install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo lint test thorough bench ablations clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo,dev,heic,ray,remote]'
	touch $@

demo: install
	$(BIN)/xmap demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -rs -m 'not thorough'

thorough: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -rs -m thorough

bench: install
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.questions
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.extraction
	$(BIN)/python -m benchmarks.load 200000
	$(BIN)/python -m benchmarks.load 1000000 keys
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.scale

ablations: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/make_ablations.py

clean:
	rm -rf $(VENV) demo .xmap build *.egg-info
