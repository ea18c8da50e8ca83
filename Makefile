# Two commands do everything: make repro, make test.
PYTHON ?= python3
VENV := .venv
JOBS ?= 2
TESTS ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# uv checks what it downloads against the hashes in constraints-hashes.txt; pip cannot take hashes from constraints.
UV := uv --quiet
INSTALL := $(UV) pip install --python $(VENV)/bin/python --system-certs --constraint constraints-hashes.txt
# PyTorch has an index of its own for builds without CUDA, which take 200 MB instead of 3 GB.
TORCH_INDEX := $(if $(shell command -v nvidia-smi 2> /dev/null),,--extra-index-url https://download.pytorch.org/whl/cpu)

.DEFAULT_GOAL := help
.PHONY: help repro sweep test test-all pictures constraints sbom clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: requirements.txt requirements-predict.txt requirements-serve.txt requirements-excel.txt constraints-hashes.txt
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --retries 1 --timeout 30 $(TORCH_INDEX) uv==0.13.9 $(shell grep '^torch==' requirements.txt)
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
	pip-licenses > /dev/null
	pytest $(TESTS)

test-all: $(VENV)/cluster $(VENV)/teach  ## the tests, with 100 kills instead of 5 (an hour)
	REVIEWS_KILLS=100 pytest

pictures: $(VENV)/installed  ## draw the pictures of the README from the results; needs Chromium
	python -m docs.pictures

constraints: $(VENV)/installed  ## write constraints.txt and its hashes after a change of a pin; UPGRADE=--upgrade for the newest of all
	: > constraints.txt
	$(UV) pip compile --system-certs --universal --python-version 3.11 --generate-hashes --no-annotate $(UPGRADE) \
	  --custom-compile-command "make constraints" --output-file constraints-hashes.txt requirements*.txt
	(echo "# Every package that requirements*.txt bring along, as tested; made by make constraints."; \
	  sed -nE 's/^([a-z0-9].*[^ ]) *\\$$/\1/p' constraints-hashes.txt) > constraints.txt

sbom: $(VENV)/cluster $(VENV)/teach  ## write sbom.json: what is installed, with versions and licences, as CycloneDX
	$(UV) tool run --system-certs --from cyclonedx-bom==7.5.0 cyclonedx-py environment $(VENV)/bin/python --output-reproducible --output-file sbom.json

clean:  ## remove the virtual environment and the outputs of stages; dvc.lock, metrics and plots stay
	rm -rf $(VENV) $(addprefix data/,raw prepare teach clean encode resample baseline evaluate peers) models .checkpoints .dvc/cache .dvc/tmp
