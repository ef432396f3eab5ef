# Every target sets the project up first (once; later calls take a moment). `make` alone lists the targets.

SHELL := bash
.DEFAULT_GOAL := help

PY := .venv/bin/python
IMAGES ?=
ARGS ?=

# Nothing is downloaded and nothing is reported home when a command runs; FiftyOne's database belongs to the project.
export FIFTYONE_DO_NOT_TRACK := true
export FIFTYONE_DATABASE_DIR := $(CURDIR)/.cache/fiftyone-db
export YOLO_CONFIG_DIR := $(CURDIR)/.cache/ultralytics
export YOLO_OFFLINE := true
export YOLO_AUTOINSTALL := false
export HF_HUB_OFFLINE := 1
export TORCH_BACKEND PYTHON

.PHONY: help setup demo app host bridge test test-slow lint format types docs audit check clean distclean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup:  ## make .venv with all that the project needs (TORCH_BACKEND=cpu for PyTorch's small builds)
	@bash setup/environment.sh

demo: setup  ## the main job: photographs in, CVAT annotations out, in runs/demo/ (IMAGES=folder for your own)
	$(PY) -m deploy.demo $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

app: setup  ## review the last demo in the FiftyOne app (ARGS=name for a dataset of yours)
	$(PY) -m data_engineering.review $(ARGS)

host: setup  ## serve every function over HTTP, without Docker or Nuclio
	$(PY) -m deploy.host $(ARGS)

bridge: setup  ## serve the bridge between CVAT and the functions (ARGS="init …", "doctor", …)
	$(PY) -m deploy.bridge $(ARGS)

test: setup  ## the tests (ARGS="quadrat -k masks" for a part)
	$(PY) -m pytest $(ARGS)

test-slow: setup  ## the tests that are too long for every run
	$(PY) -m pytest -m slow $(ARGS)

lint: setup  ## ruff (rules and formatting), the import law, and every function.yaml
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports --no-logo
	$(PY) -m deploy.validate

format: setup  ## let ruff mend what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: setup  ## mypy, strict on quadrat and deploy/serving
	$(PY) -m mypy

docs: setup  ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

audit: setup  ## known holes in the pinned packages, where their database is in reach
	$(PY) -m deploy.audit

check: lint types docs audit test  ## all that CI asks

clean:  ## remove caches and the built site (runs/ and .venv stay)
	rm -rf site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -not -path './.pixi/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environment and the project's databases too
	rm -rf .venv .cache
