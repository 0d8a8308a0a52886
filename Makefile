# FeatherFace. `make` prints this list; ARGS="..." is passed on to the command.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format train prune evaluate predict summary compare check-data benchmark export

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch comes first and alone: asked for beside the rest, another build of it may be chosen.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)

install: $(READY) ## make the virtual environment .venv with the locked versions

demo: $(READY) ## train a teacher, distil a student, evaluate, predict, on generated images: minutes on two cores
	$(BIN)/python -m src.train experiment=demo run=demo_teacher resume=true $(ARGS)
	$(BIN)/python -m src.train experiment=demo_student run=demo_student resume=true $(ARGS)
	$(BIN)/python -m src.evaluate data=demo checkpoint=outputs/train/demo_student/checkpoints/best.ckpt
	$(BIN)/python -m src.predict checkpoint=outputs/train/demo_student/checkpoints/best.ckpt source=outputs/data/demo/val/images decoder.score_threshold=0.3

test: $(READY) ## the fast tests, on two cores in two to three minutes; with the real files those on them too
	$(BIN)/python -m pytest -m "not slow" -n 2 $(ARGS)

test-slow: $(READY) ## the others: killed and resumed runs, several processes
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(READY) ## python -m src.train $(ARGS)
	$(BIN)/python -m src.train $(ARGS)

prune: $(READY) ## python -m src.prune $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.prune $(ARGS)

evaluate: $(READY) ## python -m src.evaluate $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.evaluate $(ARGS)

predict: $(READY) ## python -m src.predict $(ARGS), such as ARGS="checkpoint=... source=photo.jpg"
	$(BIN)/python -m src.predict $(ARGS)

summary: $(READY) ## python -m src.summary $(ARGS), such as ARGS="model=nano_b_enhanced"
	$(BIN)/python -m src.summary $(ARGS)

compare: $(READY) ## python -m src.compare $(ARGS), such as ARGS="runs=outputs/multirun/<date>"
	$(BIN)/python -m src.compare $(ARGS)

check-data: $(READY) ## python -m src.check_data $(ARGS), such as ARGS="data=widerface data.root=..."
	$(BIN)/python -m src.check_data $(ARGS)

benchmark: $(READY) ## time the evaluator, the data pipeline and the network
	$(BIN)/python -m src.benchmark $(ARGS)

export: $(READY) ## python -m src.export $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.export $(ARGS)
