# Everything runs in .venv, which is made and filled when it is missing or pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint format docs linkcheck clean

demo: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/accelerate launch --config_file accelerate_config.yaml -m kit.finetune recipes/sentiment.yaml

# Two tests at once, each on one core: with more threads they would only wait for each other. A file's tests share what
# they train, so they stay together, and slow files come first (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed
	$(PYTEST)

check: lint
	$(PYTEST) --ignore tests/e2e

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Warnings are errors; a broken link between pages is a warning.
docs: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/sphinx-build -q -W --keep-going -d build/doctrees -b html docs build/docs
	@echo build/docs/index.html

# Links to other sites, which need a network.
linkcheck: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/sphinx-build -q -d build/doctrees -b linkcheck docs build/linkcheck

# torch is asked for by its exact version first: a range may bring the several GB of a CUDA build to a machine
# without a GPU.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install -q -c constraints.txt -e '.[demo,compress,dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
