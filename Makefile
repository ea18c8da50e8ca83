# Two commands do everything: make repro, make test.
PYTHON ?= python3
VENV := .venv
JOBS ?= 2
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help repro sweep test test-all clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/installed: requirements.txt requirements-predict.txt requirements-serve.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/cluster: $(VENV)/installed requirements-cluster.txt
	python -m pip install --quiet --requirement requirements-cluster.txt
	touch $@

repro: $(VENV)/installed  ## set up, then run the pipeline: what is up to date is not run again
	dvc repro

sweep: $(VENV)/installed  ## make sweep GRID=seeds: run a grid of sweeps.yaml, JOBS=2 experiments at a time
	python -m commands.sweep $(GRID) --jobs $(JOBS)

test: $(VENV)/cluster  ## set up, then check style and types and run all tests
	ruff format --check .
	ruff check .
	mypy
	pytest

test-all: $(VENV)/cluster  ## the tests, with 100 kills instead of 5 (an hour)
	REVIEWS_KILLS=100 pytest

clean:  ## remove the virtual environment and what the stages wrote; dvc.lock, metrics and plots stay
	rm -rf $(VENV) $(addprefix data/,raw prepare clean encode resample baseline evaluate peers) models .checkpoints .dvc/cache .dvc/tmp
