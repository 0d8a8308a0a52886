# FeatherFace. `make` prints this list; ARGS="..." is passed on to the command.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo pipeline sweep-pruning test test-slow lint format train convert-network prune calibrate evaluate measure predict summary compare check-data benchmark dashboard export validate wheels convert fuzz docs notebooks

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch comes first and alone: asked for beside the rest, another build of it may be chosen.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)

install: $(READY) ## make the virtual environment .venv with the locked versions

demo: $(READY) ## teacher, student, search, pruned student, export, a page: ten minutes on two cores
	$(BIN)/python -m src.pipeline
	@echo
	@echo "the page       outputs/pipeline/demo/page.html"
	@echo "the faces      outputs/pipeline/demo/predict/sheet.png"
	@echo "next           $(BIN)/python -m src.predict checkpoint=flagship source=YOUR_PHOTOS"

pipeline: $(READY) ## python -m src.pipeline $(ARGS), such as ARGS="pipeline=cpu --dry-run"
	$(BIN)/python -m src.pipeline $(ARGS)

STUDENT := outputs/pipeline/demo/distil/checkpoints/best.ckpt
$(STUDENT): | $(READY)
	$(BIN)/python -m src.pipeline stages=[teacher,distil]

SEARCH ?= demo
STUDY  ?= first
sweep-pruning: $(if $(CHECKPOINT),$(READY),$(STUDENT)) ## search the pruning rates; STUDY=name CHECKPOINT=file SEARCH=short ARGS="data=widerface data.root=..."
	$(BIN)/python -m src.sweep_pruning search=$(SEARCH) study=$(STUDY) $(if $(CHECKPOINT),checkpoint=$(CHECKPOINT)) $(ARGS)

test: $(READY) ## the fast tests, on two cores in about three minutes; with the real files those on them too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal $(ARGS)

test-slow: $(READY) ## the others: killed and resumed runs, several processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal $(ARGS)

N ?= 10000
fuzz: $(READY) ## N=10000 damaged files, of every format that is read, each tried in a child process
	FUZZ_INPUTS=$(N) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz -rP $(ARGS)

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(READY) ## python -m src.train $(ARGS)
	$(BIN)/python -m src.train $(ARGS)

convert: $(READY) ## python -m src.convert $(ARGS), such as ARGS="source=... to=coco"
	$(BIN)/python -m src.convert $(ARGS)

convert-network: $(READY) ## python -m src.convert_network $(ARGS), such as ARGS="checkpoint=... model=nano_b_enhanced"
	$(BIN)/python -m src.convert_network $(ARGS)

prune: $(READY) ## python -m src.prune $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.prune $(ARGS)

calibrate: $(READY) ## python -m src.calibrate $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.calibrate $(ARGS)

evaluate: $(READY) ## python -m src.evaluate $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.evaluate $(ARGS)

measure: $(READY) ## python -m src.measure $(ARGS), such as ARGS="checkpoints=[a.ckpt,b.ckpt]"
	$(BIN)/python -m src.measure $(ARGS)

predict: $(READY) ## python -m src.predict $(ARGS), such as ARGS="checkpoint=... source=photo.jpg"
	$(BIN)/python -m src.predict $(ARGS)

summary: $(READY) ## python -m src.summary $(ARGS), such as ARGS="model=nano_b_enhanced"
	$(BIN)/python -m src.summary $(ARGS)

compare: $(READY) ## python -m src.compare $(ARGS), such as ARGS="flagship best.ckpt" or "runs=outputs/multirun/<date>"
	$(BIN)/python -m src.compare $(ARGS)

check-data: $(READY) ## python -m src.check_data $(ARGS), such as ARGS="data=widerface data.root=..."
	$(BIN)/python -m src.check_data $(ARGS)

benchmark: $(READY) ## time the evaluator, the data pipeline and the network
	$(BIN)/python -m src.benchmark $(ARGS)

dashboard: $(READY) ## workspaces of Weights & Biases: written as JSON, sent where there is a key
	$(BIN)/python -m src.dashboard $(ARGS)

NOTEBOOKS := $(patsubst %.py,outputs/%.ipynb,$(wildcard notebooks/*.py))
notebooks: $(NOTEBOOKS) ## run the notebooks into outputs/notebooks/, with their pictures; minutes

outputs/notebooks/%.ipynb: notebooks/%.py | $(READY)
	@mkdir -p $(@D)
	$(BIN)/jupytext --to ipynb --output $@ $<
	$(BIN)/jupyter execute --inplace $@

validate: $(READY) ## python -m src.validate $(ARGS), such as ARGS="checkpoint=flagship"
	$(BIN)/python -m src.validate $(ARGS)

export: $(READY) ## python -m src.export $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.export $(ARGS)

docs: $(READY) ## the documentation as a site, build/site/index.html; draws its diagrams anew
	$(BIN)/python docs/site/build.py

wheels: $(READY) ## build dist/: the package featherface, and the training framework
	rm -rf runtime/build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist . ./runtime
