# Two commands do everything on a fresh machine: `make demo` and `make test`. Both install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The mathematics: formulas, draws, metrics and fingerprints, without commands, images or processes.
MATHS := tests/stages/methods tests/stages/fewshot tests/stages/eval/test_metrics.py tests/stages/ablate tests/stages/train/test_examination.py \
	tests/stages/adapters tests/stages/build_cache/test_index_choice.py tests/store/artifacts/test_fingerprint.py tests/test_layers.py

.PHONY: install demo lint quick test thorough versions coverage docs docs-check bench ablations clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo,dev,heic,onnx,ray,remote,serve]'
	touch $@

demo: install
	$(BIN)/xmap demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

# Before each commit: under a minute.
quick: lint
	$(BIN)/python -m pytest -n 2 -q $(MATHS)

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -rs -m 'not thorough and not versions'

thorough: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -rs -m thorough

# Nightly: installs the lowest and the newest libraries allowed, some gigabytes.
versions: install
	$(BIN)/python -m pytest -q -rs -m versions

# Of everything that the quick tests run, processes of commands included.
coverage: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not thorough and not versions' --cov --cov-report=term:skip-covered

# Pages that are made from the code alone; those that hold measurements have commands of their own.
docs: install
	$(BIN)/python docs/check.py --write

docs-check: install
	$(BIN)/python docs/check.py

bench: install
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.questions
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.extraction
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.changes
	$(BIN)/python -m benchmarks.leaks
	$(BIN)/python -m benchmarks.corrections
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.rivals
	$(BIN)/python -m benchmarks.load 200000
	$(BIN)/python -m benchmarks.load 1000000 keys
	$(BIN)/python -m benchmarks.evaluation 1000000
	$(BIN)/python -m benchmarks.million
	$(BIN)/python -m benchmarks.scale

ablations: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python docs/make_ablations.py

clean:
	rm -rf $(VENV) demo .xmap build *.egg-info
