# One command a wish; each sets up what it needs, and a second run of it is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench docs js soak mutation clean

demo: $(READY)
	$(BIN)/websocket-heartbeat demo

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/python tools/state_diagram.py

js: $(READY)
	$(BIN)/python tools/build_js.py

soak: $(READY)
	$(BIN)/python -m benchmarks.soak

mutation: $(READY)
	sh tools/mutation.sh $(VENV)

clean:
	rm -rf $(VENV) dist build .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache mutants js/dist js/miniprogram_dist js/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml tools/setup.sh
	sh tools/setup.sh "$(PYTHON)" $(VENV)
	touch $@
