# Two commands do everything: make repro, make test.
PYTHON ?= python3
VENV := .venv
JOBS ?= 2
TESTS ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# uv installs the same requirement files faster. It does not read PIP_EXTRA_INDEX_URL: pass it on, and let uv take each
# package from whichever index has the pinned version, as pip does.
UV := $(shell command -v uv 2> /dev/null)
INSTALL := $(if $(UV),uv pip install --python $(VENV)/bin/python \
  $(if $(PIP_EXTRA_INDEX_URL),--extra-index-url $(PIP_EXTRA_INDEX_URL) --index-strategy unsafe-best-match),python -m pip install) --quiet

.DEFAULT_GOAL := help
.PHONY: help repro sweep test test-all pictures clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: requirements.txt requirements-predict.txt requirements-serve.txt requirements-excel.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements.txt
	touch $@

$(VENV)/cluster: $(VENV)/installed requirements-cluster.txt
	$(INSTALL) --requirement requirements-cluster.txt
	touch $@

$(VENV)/teach: $(VENV)/installed requirements-teach.txt
	$(INSTALL) --requirement requirements-teach.txt
	touch $@

repro: $(VENV)/installed  ## set up, then run the stages whose inputs, settings or code changed
	dvc repro

sweep: $(VENV)/installed  ## make sweep GRID=seeds: run a grid of sweeps.yaml, JOBS=2 experiments at a time
	python -m commands.sweep $(GRID) --jobs $(JOBS)

test: $(VENV)/cluster $(VENV)/teach  ## set up, then check style and types and run all tests; TESTS=tests/text for some of them
	ruff format --check .
	ruff check .
	mypy
	pytest $(TESTS)

test-all: $(VENV)/cluster $(VENV)/teach  ## the tests, with 100 kills instead of 5 (an hour)
	REVIEWS_KILLS=100 pytest

pictures: $(VENV)/installed  ## draw the pictures of the README from the results; needs Chromium
	python -m docs.pictures

clean:  ## remove the virtual environment and the outputs of stages; dvc.lock, metrics and plots stay
	rm -rf $(VENV) $(addprefix data/,raw prepare teach clean encode resample baseline evaluate peers) models .checkpoints .dvc/cache .dvc/tmp
