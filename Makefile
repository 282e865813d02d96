# What a developer runs. Each command sets up what it needs; a second run of it is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of `make bench`: names, such as "echo flood"; all by default.
BENCHMARKS ?=
# Of `make soak`.
MINUTES ?= 10
# Of `make chaos`: "--seed 7", "--messages 20000", "--seconds 60".
CHAOS ?=
# Of `make cluster-demo`: "--clients 500", "--seconds 120".
CLUSTER ?=
# Of `make cluster-chaos`: "--messages 1000000 --seconds 1800", "--rows failover kills".
CLUSTER_CHAOS ?=
# Of `make pythons`: Debian's releases, and the name of a Python there.
PYTHONS ?= trixie:python3 forky:python3 trixie:pypy3
# Of `make compat`.
WEBSOCKETS ?= 15.0.1 16.0 17.4
# What a user has, and what a developer has besides.
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready

.PHONY: demo cluster-demo test pytest lint bench torture delivery conformance soak chaos cluster-chaos kills compat mutation docs docs-serve js js-sessions model release pythons clean

demo: $(INSTALLED)
	$(BIN)/websocket-heartbeat demo

# Three workers, one Valkey and 200 clients, while workers and Valkey are killed; about a minute.
cluster-demo: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group cluster
	$(BIN)/python -m examples.cluster $(CLUSTER)

# At once, as most of lint is mypy, which has use for one core.
test: $(READY)
	$(MAKE) --jobs=2 lint pytest

# Five at a time, on two cores as well: most tests wait for a network more than they compute. A worker that is done
# takes half of the tests that another has left. Whatever the shell says, Python keeps what it compiles: else each
# worker compiles all tests, and each of the hundreds of programs that they start compiles the package.
pytest: $(READY)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 5 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCHMARKS)

torture: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group torture
	$(BIN)/python -m benchmarks.torture

# What arrives of numbered messages while links die, with ours and with the peers; writes docs/delivery.md. The
# peers are apart: one needs an older websockets than the rest of the project.
delivery: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group delivery \
		--upgrade --target build/delivery/python
	PYTHONPATH=build/delivery/python $(BIN)/python -m benchmarks.delivery

# What the hub promises, tried on each server; writes the table of docs/server/conformance.md.
conformance: $(READY)
	$(BIN)/python -m tests.server.conformance

soak: $(READY)
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

# A million messages each way of sessions, under cuts, freezes and kills of the back end, in 15 minutes at most;
# and a million each way behind a slow consumer.
chaos: $(READY)
	nice -n 10 $(BIN)/python -m tests.chaos $(CHAOS)
	nice -n 10 $(BIN)/python -m tests.chaos.slow

# Three workers over one Valkey, a minute of each thing that happens to them; writes the table of docs/cluster.md.
cluster-chaos: $(READY)
	nice -n 10 $(BIN)/python -m tests.chaos.cluster $(CLUSTER_CHAOS)

# Transactions of PostgreSQL while nodes are killed 40 times, and the server 20 times.
kills: $(READY)
	KILLS=40 $(BIN)/python -m pytest tests/server/sessions/test_transaction_crashes.py

# The wire over each version of websockets that pyproject.toml allows, the newest of each.
compat: $(READY)
	for version in $(WEBSOCKETS); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
			--target build/websockets-$$version websockets==$$version && \
		PYTHONPATH=build/websockets-$$version $(BIN)/python -m pytest -q -n 2 tests/engines tests/server || exit 1; \
	done

mutation: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group mutation
	$(BIN)/python tools/mutation.py

# The protocol of sessions: every world of its model, and 1,000,000 steps in which the real halves follow it.
model: $(READY)
	$(BIN)/python -m tests.model
	$(BIN)/python -m tests.model.schedules

# The site, into build/site; the diagram of states first, which is written from the code.
docs: $(READY)
	$(BIN)/python tools/state_diagram.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

js: $(READY)
	$(BIN)/python -m tools.build_js

# 100,000 messages each way over sessions of JavaScript, in Node and in Chromium, through links that break at any byte.
js-sessions: $(READY)
	$(BIN)/python -m tests.miniprogram.history

# The source archive, the wheel and the npm package, looked at as a user has them, into dist/.
release: $(READY)
	$(BIN)/python -m pytest -n 2 tests/release
	$(BIN)/python -m tools.release

# The tests of the Python parts on newer Pythons, in Debian's releases; by root. 15 minutes for each, on two cores.
pythons:
	nice -n 10 $(PYTHON) -m tools.pythons $(PYTHONS)

clean:
	rm -rf $(VENV) dist build .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		mutants js/dist js/browser js/session js/miniprogram_dist js/LICENSE js/node_modules tests/miniprogram/real/node_modules tests/dialects/servers/node_modules \
		tests/back_ends/programs/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml tools/setup.sh
	sh tools/setup.sh "$(PYTHON)" $(VENV) --editable ".[cli]"
	touch $@

$(READY): pyproject.toml tools/setup.sh
	sh tools/setup.sh "$(PYTHON)" $(VENV) --editable ".[cli,testing]" --group dev
	touch $(INSTALLED) $@
