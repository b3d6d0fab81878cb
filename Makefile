# make demo     take the walking figure out of clips/walk.mp4
# make test     all tests
# make check    lint, types and tests
# make bench    the table of results
# make weights PHOTOS=... CUTOUTS=...   the bundled model from nothing; DEVICE=cuda takes the configurations for a GPU
# make VENV=somewhere ... puts the environment somewhere else; uv is used where it is installed, as it is quicker.

VENV ?= .venv
PYTHON ?= python3
OUT ?= out
SOURCES := $(shell find osor_video configs -name '*.py' -o -name '*.yaml' -o -name '*.safetensors')
BIN := $(VENV)/bin
UV := $(shell uv --version 2>/dev/null)
ifneq ($(UV),)
PIP = uv pip install --quiet --python $(BIN)/python
else
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

# Training: each run goes on where it was stopped; on a GPU the whole takes about half an hour.
RUNS ?= runs
ifeq ($(DEVICE),cuda)
STEPS = autoencoder_gpu remover_gpu remover_patches_gpu alpha_gpu
LAST = remover_patches_gpu
else
STEPS = autoencoder remover remover_finish remover_patches alpha
LAST = remover_patches
endif
MODEL ?= $(RUNS)/compact
VALIDATE ?=

.PHONY: demo test lint check strip bench clean weights

demo: $(VENV)/.installed
	@mkdir -p $(OUT)
	$(BIN)/osor-video remove clips/walk.mp4 --mask clips/walk_first.png -o $(OUT)/walk.mp4 --masks-out $(OUT)/walk_masks
	@echo "The clip without its walker: $(OUT)/walk.mp4"

test: $(VENV)/.developing
	$(BIN)/python -m pytest

lint: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

strip: demo
	$(BIN)/osor-video strip clips/walk.mp4 $(OUT)/walk_masks $(OUT)/walk.mp4 -o clips/strip.png --frames 6,18,30

bench: $(VENV)/.installed
	$(BIN)/osor-video bench --markdown $(OUT)/bench.md

weights: $(VENV)/.developing
	for step in $(STEPS); do \
	  $(BIN)/osor-video train configs/train/$$step.yaml --photos $(PHOTOS) --cutouts $(CUTOUTS) \
	    $$(test $${step%%_*} = autoencoder || echo --autoencoder $(RUNS)/autoencoder) -o $(RUNS)/$${step%%_*} || exit; \
	done
	$(BIN)/python -m osor_video.training export configs/train/$(LAST).yaml --photos $(PHOTOS) \
	  --autoencoder $(RUNS)/autoencoder --remover $(RUNS)/remover --alpha $(RUNS)/alpha --model $(MODEL)
	$(BIN)/python -m osor_video.training validate --model $(MODEL) --photos $(PHOTOS) --cutouts $(CUTOUTS) \
	  --out $(RUNS)/validation $(VALIDATE)

clean:
	rm -rf .venv build dist *.egg-info out

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(SOURCES) | $(BIN)/python
	$(PIP) .
	@touch $@

# Editable, so that the tests see the working tree; it stands in for the plain installation as well.
$(VENV)/.developing: pyproject.toml | $(BIN)/python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.installed
