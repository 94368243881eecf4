# modelport - `make` or `make help` lists what can be done.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2

.PHONY: help demo test lint nightly fuzz bench fixtures sweep docs site names wheel release clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(READY)

demo: $(READY) ## train on real data, convert to json, onnx and pmml, replay in every consumer, write demo-output/report.html
	$(BIN)/python demo/demo.py --output demo-output

test: lint ## everything CI runs: lint, types, and all tests (missing toolchains are counted skips)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m 'not slow'

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

nightly: $(READY) ## the long sweeps too
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

fuzz: $(READY) ## 100,000 structured mutants of valid artifacts for every stub; writes fuzz.json (some hours)
	nice -n 15 $(BIN)/python tests/fuzz/mutate.py --count 100000 --every 5000 --json fuzz.json

bench: $(READY) ## measure beside skl2onnx and sklearn2pmml in one run (installs them), and every gate beside its rival
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt skl2onnx sklearn2pmml jpmml_evaluator
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/gates.py

fixtures: $(READY) ## write the conformance fixtures again (compat/ is never touched)
	for recipe in fixtures/recipes/make_*.py; do $(BIN)/python $$recipe || exit 1; done

sweep: $(READY) ## every estimator x format against the original; writes docs/coverage.json (some minutes)
	$(BIN)/python tests/sweep.py --write

docs: $(READY) ## write the generated pages again: ops, coverage, comparison, pictures
	$(BIN)/python docs/generate.py

site: $(READY) ## build the documentation site into site/; every warning is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

names: $(READY) ## write the list of public names again: tests/public_names.txt
	$(BIN)/python tests/public_names.py --write

wheel: $(READY) ## sdist, and the wheel built from the sdist
	rm -rf build dist *.egg-info/SOURCES.txt
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

release: test wheel ## everything that has to hold before a version is tagged; tags nothing itself (docs/releasing.md)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/test_release.py
	@echo "All of it holds. Tag what you have just tested: git tag -a v$$($(BIN)/python -c 'import modelport; print(modelport.__version__)')"

clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) build dist site demo-output *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
