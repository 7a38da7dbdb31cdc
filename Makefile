# make demo ARGS="--episodes 1"      options of the demo
# make test ARGS="test/unit -k bag"  only these, in one call of pytest
# make demo PYTHON=/path/to/python3  another interpreter for the virtual environment
PYTHON ?=
ARGS ?=

.PHONY: help setup messages demo test test-all fuzz lint docs clean

PYTEST = .venv/bin/python -m pytest -q --durations=25 --durations-min=5
EVERY_CORE = --numprocesses=logical --maxprocesses=8 --dist=loadfile
# One after the other but for patient ones: neighbours that keep the processor busy would make them
# miss their deadlines.
TOGETHER = (unit or patient) and not (gpu or hardware)
ALONE = (nodes or system) and not (unit or patient or gpu or hardware)

help:
	@echo 'make demo      set up, then watch the simulated robot hand over the cube in 5 episodes'
	@echo 'make test      set up, then run all tests but the slow ones (23 minutes on 2 cores)'
	@echo 'make test-all  set up, then run all tests (an hour)'
	@echo 'make fuzz      set up, then give the readers 100,000 damaged inputs (half an hour on 2 cores)'
	@echo 'make lint      set up, then run ruff and mypy'
	@echo 'make docs      set up, then write the documents as a site to site/'
	@echo 'make setup     only set up .venv'
	@echo 'make messages  set up, then build the messages of arm drivers, where no package has them'
	@echo 'make clean     remove .venv and caches'

setup:
	@PYTHON='$(PYTHON)' bash scripts/setup_env.sh

# Without them the tests of these drivers are skipped.
messages: setup
	@bash scripts/build_messages.sh .venv || echo 'the messages of arm drivers could not be built'

demo: setup
	@.venv/bin/cosmos-policy demo $(ARGS)

ifdef ARGS
test: messages
	$(PYTEST) $(ARGS)
else
test: messages
	$(PYTEST) -m '$(TOGETHER) and not slow' $(EVERY_CORE)
	$(PYTEST) -m '$(ALONE) and not slow'
endif

# Inputs with damage for every reader; a test of make test takes 2,000. A run that is broken off
# goes on where it was, as long as the code is the same. SEED=1, 2 and so on are other inputs.
FUZZ ?= 100000
SEED ?= 0
fuzz: setup
	OMP_NUM_THREADS=1 .venv/bin/python test/fuzz.py --inputs $(FUZZ) --seed $(SEED)

test-all: messages
	$(PYTEST) -m '$(TOGETHER)' $(EVERY_CORE)
	$(PYTEST) -m '$(ALONE)'

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: setup
	.venv/bin/python scripts/reference.py
	.venv/bin/python scripts/build_site.py

clean:
	rm -rf .venv site build install log .fuzz .pytest_cache .ruff_cache .mypy_cache .hypothesis
