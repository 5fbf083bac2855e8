# make demo    install into .venv and run the main job on the sample: captions -> negatives -> shards -> a trained model
# make test    install if needed and run the tests (no network, no GPU, under 15 minutes on 2 cores)
VENV := .venv
BIN := $(VENV)/bin
AXE := $(VENV)/node_modules/axe-core/axe.min.js
LLAMA := $(VENV)/llama/llama-server
STAMP := $(VENV)/.installed
SOURCES := pipeline trainer tests scripts benchmarks examples

.PHONY: install demo test test-all lint types format clean help

help:
	@sed -n 's/^# make /make /p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt docker/install.sh
	docker/install.sh $(VENV) cpu,offline,dev --editable
	touch $@

demo: $(STAMP)
	$(BIN)/python scripts/demo.py

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist worksteal

# make test-all    also the tests that need minutes, a browser, network namespaces or a language model (built once, ten minutes)
test-all: $(STAMP) $(AXE) $(LLAMA)
	$(BIN)/pytest --full

$(AXE):
	-npm install --silent --no-save --no-package-lock --prefix $(VENV) axe-core@4.14.1

$(LLAMA):
	-scripts/llama_server.sh $(@D) $(abspath $(BIN))/python

# make lint    ruff, its formatter obeyed everywhere, and which package may import which
lint: $(STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	! grep -rnE '# fmt: (skip|off)' --include='*.py' $(SOURCES)
	$(BIN)/lint-imports

# make types    mypy --strict on both packages and the comparison of methods
types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/methods

format: $(STAMP)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf demo work runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
