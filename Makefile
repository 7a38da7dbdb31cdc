# make demo ARGS="--episodes 1"      options of the demo
# make demo PYTHON=/path/to/python3  another interpreter for the virtual environment
PYTHON ?=
ARGS ?=

.PHONY: help setup demo test lint clean

help:
	@echo 'make demo   set up, then watch the simulated robot hand over the cube in 5 episodes'
	@echo 'make test   set up, then run the test suite'
	@echo 'make lint   set up, then run ruff and mypy'
	@echo 'make setup  only set up .venv'
	@echo 'make clean  remove .venv and caches'

setup:
	@PYTHON='$(PYTHON)' bash scripts/setup_env.sh

demo: setup
	@.venv/bin/cosmos-policy demo $(ARGS)

test: setup
	.venv/bin/python -m pytest -q $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv build install log .pytest_cache .ruff_cache .mypy_cache .hypothesis
