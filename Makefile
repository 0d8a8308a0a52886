# FeatherFace. `make` prints this list; ARGS="..." is passed on to the command.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo sweep-pruning test test-slow lint format train convert-network prune evaluate measure predict summary compare check-data benchmark export

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

# What the demo trains first; the files are there when a training is finished.
TEACHER := outputs/train/demo_teacher/metrics.json
STUDENT := outputs/train/demo_student/metrics.json
$(TEACHER): | $(READY)
	$(BIN)/python -m src.train experiment=demo run=demo_teacher resume=true
$(STUDENT): $(TEACHER)
	$(BIN)/python -m src.train experiment=demo_student run=demo_student resume=true

demo: $(STUDENT) ## teacher, distilled student, search, pruned student, one table: ten minutes on two cores
	$(BIN)/python -m src.sweep_pruning search=demo study=demo hydra.sweeper.n_trials=9
	$(BIN)/python -m src.train experiment=demo_pruned pruning=outputs/sweeps/demo/best run=demo_pruned resume=true
	$(BIN)/python -m src.measure data=demo checkpoints=[outputs/train/demo_teacher/checkpoints/best.ckpt,outputs/train/demo_student/checkpoints/best.ckpt,outputs/train/demo_pruned/checkpoints/best.ckpt] hydra.run.dir=outputs/measure/demo
	$(BIN)/python -m src.predict checkpoint=outputs/train/demo_pruned/checkpoints/best.ckpt source=outputs/data/demo/val/images decoder.score_threshold=0.3 hydra.run.dir=outputs/predict/demo
	@echo
	@echo "the table      outputs/measure/demo/measure.md"
	@echo "the training   outputs/measure/demo/curves.png"
	@echo "the search     outputs/sweeps/demo/report.html"
	@echo "the faces      outputs/predict/demo/sheet.png"
	@echo "next           $(BIN)/python -m src.predict checkpoint=outputs/train/demo_pruned/checkpoints/best.ckpt source=YOUR_PHOTOS"

SEARCH ?= demo
STUDY  ?= first
sweep-pruning: $(if $(CHECKPOINT),$(READY),$(STUDENT)) ## search the pruning rates; STUDY=name CHECKPOINT=file SEARCH=short ARGS="data=widerface data.root=..."
	$(BIN)/python -m src.sweep_pruning search=$(SEARCH) study=$(STUDY) $(if $(CHECKPOINT),checkpoint=$(CHECKPOINT)) $(ARGS)

test: $(READY) ## the fast tests, on two cores in about three minutes; with the real files those on them too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal $(ARGS)

test-slow: $(READY) ## the others: killed and resumed runs, several processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal $(ARGS)

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(READY) ## python -m src.train $(ARGS)
	$(BIN)/python -m src.train $(ARGS)

convert-network: $(READY) ## python -m src.convert_network $(ARGS), such as ARGS="checkpoint=... model=nano_b_enhanced"
	$(BIN)/python -m src.convert_network $(ARGS)

prune: $(READY) ## python -m src.prune $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.prune $(ARGS)

evaluate: $(READY) ## python -m src.evaluate $(ARGS), such as ARGS="checkpoint=..."
	$(BIN)/python -m src.evaluate $(ARGS)

measure: $(READY) ## python -m src.measure $(ARGS), such as ARGS="checkpoints=[a.ckpt,b.ckpt]"
	$(BIN)/python -m src.measure $(ARGS)

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
