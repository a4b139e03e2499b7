# Everything a developer or a new user does with a checkout. `make help` lists it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Workers and the processes that tests start read what another one compiled, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check format published bench crash-points phases model chaos hostile fuzz big image docs site screens clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: $(VENV)/.installed  ## set up, start everything in one process, run a real workflow, show its results
	$(BIN)/lando demo

test: $(VENV)/.installed-dev $(VENV)/published/.installed  ## every test that this machine can run
	$(BIN)/python -m pytest tests/unit -n auto --dist loadfile $(PYTEST_ARGS)
	LANDO_TEST_API_DATABASE=postgres $(BIN)/python -m pytest tests/unit/api -n auto --dist loadfile $(PYTEST_ARGS)
	$(BIN)/python -m pytest tests/crash_points -n auto $(PYTEST_ARGS)
	$(BIN)/python -m pytest tests/model -n auto $(PYTEST_ARGS)
	$(BIN)/python -m pytest tests/contract tests/integration tests/e2e -n 4 --dist loadfile --no-loadscope-reorder \
	  $(PYTEST_ARGS)

published: $(VENV)/published/.installed  ## what the tests need of the original's published packages, apart from ours

check: $(VENV)/.installed-dev  ## format, lint, types, layers; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## mend format and what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev  ## hand-off times, throughput, API calls and memory, as ratios of one run
	$(BIN)/python -m bench $(BENCH_ARGS)

crash-points: $(VENV)/.installed-dev  ## break every call of daemons and API server in turn; PAIRS crashes two by two, SEED=… others
	PAIRS=$(PAIRS) SEED=$(SEED) $(BIN)/python -m pytest tests/crash_points -q -n auto $(PYTEST_ARGS)

phases: $(VENV)/.installed-dev  ## random models of phases: KILLS of runs, N Jobs with pods, NETWORKS gone bad; SEED=… others
	LANDO_PHASES_KILLS=$(or $(KILLS),20) LANDO_PHASES_PODS=$(or $(N),500) LANDO_PHASES_NETWORKS=$(or $(NETWORKS),20) \
	  LANDO_PHASES_SEED=$(or $(SEED),1) $(BIN)/python -m pytest tests/contract/test_phased_runs.py \
	  tests/contract/test_phased_processes.py tests/integration/test_phases_in_order.py \
	  tests/integration/test_phases_killed.py -q -o timeout=1800 $(PYTEST_ARGS)

model: $(VENV)/.installed-dev  ## EXAMPLES random histories of commands, events and faults; SEED=… repeats a search
	$(BIN)/python -m tests.model --examples $(or $(EXAMPLES),2000) $(if $(SEED),--seed $(SEED)) $(MODEL_ARGS)

chaos: $(VENV)/.installed-dev  ## N jobs on real processes while everything fails; SEED=… repeats a run
	$(BIN)/python -m tests.chaos --jobs $(or $(N),200) $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

hostile: $(VENV)/.installed-dev  ## N hostile messages before real daemons, with jobs among them; SEED=… repeats a flood
	LANDO_HOSTILE_COUNT=$(or $(N),10000) LANDO_HOSTILE_SEED=$(or $(SEED),7) \
	  $(BIN)/python -m pytest -q -s tests/integration/test_hostile_messages.py $(PYTEST_ARGS)

image: $(VENV)/.installed-dev  ## build the container image with buildah, run what is in it, and a job; as root, on Debian
	openshift/build-image.sh
	LANDO_TEST_IMAGE=$$(openshift/build-image.sh --name) \
	  $(BIN)/python -m pytest -q tests/integration/test_image.py tests/integration/test_image_of_definitions.py \
	  tests/integration/test_image_deployed.py $(PYTEST_ARGS)

big: $(VENV)/.installed-dev  ## a file of MIB (1024) to and from every store, with the most memory that each step took
	LANDO_STORE_TEST_MIB=$(or $(MIB),1024) \
	  $(BIN)/python -m pytest -q -s --timeout 1800 tests/integration/steps/test_large_files.py $(PYTEST_ARGS)

docs: $(VENV)/.installed-dev  ## write the parts of docs/ that are generated from the code
	$(BIN)/python -m lando.config > docs/configuration.md
	$(BIN)/python docs/transcript.py docs/first-cluster.md docs/doctor.md docs/definitions.md
	$(BIN)/python -m lando.k8s.diagnosis.page > docs/causes.md
	$(BIN)/python -m lando.api.reference > docs/server.md
	$(BIN)/python -m lando.api.metrics_page > docs/metrics.md
	$(BIN)/python -m lando.api.routes_page > docs/routes.md

site: $(VENV)/.installed-dev  ## docs/ as a site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml

screens: $(VENV)/.installed-dev  ## draw the screens in docs/screens from a real run
	$(BIN)/python docs/screens.py

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lando needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cwl]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cwl,postgres,s3,dev,docs]'
	@touch $@ $(VENV)/.installed

# They ask for other versions than ours do, so they never come into the environment itself.
$(VENV)/published/.installed: Makefile | $(BIN)/python
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) \
	  lando-messaging==2.1.0 pika==1.1.0 'setuptools<81'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D)/k8s-jobs \
	  k8s-jobs==0.2.0 kubernetes==10.1.0 jinja2==2.11.3 markupsafe==2.0.1 'urllib3<2'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D)/kubernetes-31 kubernetes==31.0.0
	@touch $@
