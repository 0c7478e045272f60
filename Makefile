# Two commands matter: `make simulate` and `make test`.  Each does all its own set-up in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# The first Python 3.11 or later that can make virtual environments.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RECORDING ?= litter-mission

FIRST ?= 0
COUNT ?= 50000
# Processes that `make test`, `make verify` and `make bench-compiler` use.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)

.PHONY: help simulate test check verify train mixes bench bench-compiler bench-confinement bench-ask test-ray bench-cloud bench-ray bench-gpu clean

help:  ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

simulate: $(VENV)/.simulate  ## run the litter mission on the shipped recording; writes out/report.html
	@mkdir -p out
	$(BIN)/dicem simulate $(RECORDING) --report out/report.html --json out/report.json

test: $(VENV)/.test servers  ## all tests, with their set-up
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests

check: $(VENV)/.test  ## lint, types, the wall between the parts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

verify: $(VENV)/.test  ## compile 50,000 generated programs and hold them against CPython; goes on from FIRST= COUNT=
	$(BIN)/python -m tests.codegen.generator --first $(FIRST) --count $(COUNT) --jobs $(JOBS)

train: $(VENV)/.train  ## train the demo models anew (about an hour on 2 cores)
	YOLO_AUTOINSTALL=false $(BIN)/python -m dicem_simulators.training

mixes: $(VENV)/.simulate  ## the mission at 5, 15 and 50 % near litter, against what is promised
	$(BIN)/python benchmarks/mixes.py

bench: $(VENV)/.simulate  ## the detector against the bare network
	$(BIN)/python benchmarks/detector.py

bench-compiler: $(VENV)/.simulate  ## compiled programs against serial ones, naive gathering and the critical path
	$(BIN)/python benchmarks/compiler.py --jobs $(JOBS)

bench-confinement: $(VENV)/.test  ## hostile programs: how soon they are stopped, and what they cost the host
	$(BIN)/python benchmarks/confinement.py

bench-ask: $(VENV)/.test  ## from a sentence to the first answer, with a model that answers at once
	$(BIN)/python benchmarks/ask.py

bench-cloud: $(VENV)/.test  ## full batches, what a call costs, and three times too much: the cloud in process
	$(BIN)/python benchmarks/cloud.py

test-ray: $(VENV)/.test  ## the tests that need a Ray cluster, which they start
	DICEM_RAY=1 $(BIN)/python -m pytest tests/cloud/test_ray*.py

bench-ray: $(VENV)/.test  ## batches through Ray, a replica and a node killed under load, DiCE's scaling on 2, 4 and 8 nodes
	$(BIN)/python benchmarks/ray_backend.py --kill
	$(BIN)/python benchmarks/ray_scale.py

bench-gpu: $(VENV)/.test  ## BLIP-2 of its true size, random weights, on this machine's GPU
	$(BIN)/python benchmarks/blip2.py

# A real broker and a real database for the tests that need one; without them they skip and say why.
SERVERS = $(shell command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || echo mosquitto; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql)

.PHONY: servers
servers:
	@missing="$(SERVERS)"; if [ -n "$$missing" ]; then \
		if ! command -v apt-get >/dev/null; then echo "for all tests install $$missing"; \
		elif [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $$missing >/dev/null || echo "$$missing could not be installed"; \
		elif sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq $$missing >/dev/null || echo "$$missing could not be installed"; \
		else echo "for all tests: sudo apt-get install $$missing"; fi; fi

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "dicem needs Python 3.11 or later with the venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.simulate: pyproject.toml | $(VENV)/bin/python
	@echo "installing dicem into $(VENV)"
	$(PIP) --editable ".[simulate]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing dicem and what its tests need into $(VENV)"
	$(PIP) --constraint constraints.txt --editable ".[cloud,cluster,codegen,simulate,transformers,test]"
	@touch $@ $(VENV)/.simulate

# ultralytics asks for torchvision and full OpenCV, which the trainer does without: it comes without its dependencies.
$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --constraint constraints.txt --editable ".[simulate,train]"
	$(PIP) --no-deps --constraint constraints.txt ultralytics ultralytics-thop opencv-python-headless
	@touch $@ $(VENV)/.simulate

clean:  ## remove what was built
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache
