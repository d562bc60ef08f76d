# Everything there is to do here. `make help` lists it.

# Where the tools are installed, and by which Python (3.11 or newer; only used to make the environment):
#   make test PYTHON=python3.13 VENV=.venv313
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The SAM CLI has an environment of its own: its pins clash with ours.
SAM_VENV ?= .venv-sam
SAM := $(SAM_VENV)/bin/sam
# So has Checkov.
CHECKOV_VENV ?= .venv-checkov
CHECKOV := $(CHECKOV_VENV)/bin/checkov
# And what builds the documentation site.
DOCS_VENV ?= .venv-docs
MKDOCS := $(DOCS_VENV)/bin/mkdocs
PIP := -m pip --disable-pip-version-check -q
# Many tests wait for something, so there may be more processes than cores.
JOBS ?= 3
# Without bytecode every process compiles the tests anew. Images for containers often set this.
unexport PYTHONDONTWRITEBYTECODE
# Which stack: STAGE is a table of samconfig.toml, STACK a name, REGION an AWS region. What contradicts
# samconfig.toml is refused, and the name is printed before anything is done (cli/deployment/target.py).
CHOOSE = "$(BIN)/python" -m cli.deployment.target "$(STAGE)" "$(STACK)" "$(REGION)"
WHERE = --stack-name "$(word 2,$(CHOSEN))" $(if $(word 3,$(CHOSEN)),--region "$(word 3,$(CHOSEN))")
export SAM_CLI_TELEMETRY ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo start test test-all coverage chaos fuzz check format bench docs pictures build invoke which deploy package publish destroy connect doctor pins sbom clean

help: ## Lists what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ── A fresh machine ─────────────────────────────────────────────────────────────────────────────────

setup: $(READY) ## Installs what everything else needs (the others do it by themselves)

$(READY): requirements-dev.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "No Python 3.11 or newer was found$(if $(PYTHON), as $(PYTHON)). Install one, or name it: make setup PYTHON=/path/to/python3"; exit 2; }
	@test -x "$(BIN)/python" || { \
	  "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv"; exit 2; }; \
	  echo "Making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv "$(VENV)"; }
	@"$(PYTHON)" .ci/install.py "$(VENV)" requirements-dev.txt
	@"$(BIN)/python" $(PIP) install --no-deps --no-build-isolation -e .
	@touch "$@"

$(SAM): requirements-sam.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found."; exit 2; }
	@"$(PYTHON)" -m venv "$(SAM_VENV)"
	@"$(PYTHON)" .ci/install.py "$(SAM_VENV)" requirements-sam.txt
	@touch "$@"

$(CHECKOV): requirements-checkov.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found."; exit 2; }
	@"$(PYTHON)" -m venv "$(CHECKOV_VENV)"
	@"$(PYTHON)" .ci/install.py "$(CHECKOV_VENV)" requirements-checkov.txt
	@touch "$@"

$(MKDOCS): requirements-docs.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found."; exit 2; }
	@"$(PYTHON)" -m venv "$(DOCS_VENV)"
	@"$(PYTHON)" .ci/install.py "$(DOCS_VENV)" requirements-docs.txt
	@touch "$@"

# ── On this machine, without AWS and without Salesforce ─────────────────────────────────────────────

demo: $(READY) ## Plays the whole story against a Salesforce in memory, and ends by itself
	@"$(BIN)/python" -m sandbox.demo $(ARGS)

start: $(READY) ## Runs the local stack in the foreground, for curl and a browser
	@"$(BIN)/python" -m sandbox $(ARGS)

invoke: $(READY) ## Runs one function with one event: make invoke FN=create_lead EVENT=events/create_lead.json
	@test -n "$(FN)" -a -n "$(EVENT)" || { echo "Say which: make invoke FN=create_lead EVENT=events/create_lead.json"; exit 2; }
	@"$(BIN)/python" -m sandbox.invoke "$(FN)" "$(EVENT)"

# ── Is it right? ────────────────────────────────────────────────────────────────────────────────────

# A module's tests stay in one process: they share a stack, and moto's state is one per process.
PYTEST := "$(BIN)/python" -m pytest -q -n "$(JOBS)" --dist loadscope --no-loadscope-reorder --durations=10

test: $(READY) ## Runs the tests that take minutes (pyproject.toml lists them), or some: ARGS="tests/unit -k key"
	@$(PYTEST) $(ARGS)

test-all: $(READY) ## Runs every test: a browser, chaos, fuzzing, alarms, roles, other people's clients, docs
	@$(PYTEST) tests $(ARGS)

# Apart, since watching every line makes the tests take half as long again.
coverage: $(READY) ## Runs the tests of bridge and shows which of its lines none of them ran
	@$(PYTEST) --cov --cov-report=term tests/unit tests/functional

check: $(READY) $(CHECKOV) ## Checks format, lint, types and the template
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/ruff" check .
	@"$(BIN)/mypy" layers/bridge/bridge sandbox tools cli bench $(wildcard .ci/*.py)
	@for app in functions/*/app.py; do "$(BIN)/mypy" "$$app" || exit 1; done
	@"$(BIN)/cfn-lint" --include-checks I -- template.yaml .github/deploy-role.yaml
	@"$(BIN)/python" .ci/plain_template.py build/plain
	@"$(CHECKOV)" --config-file .checkov.yaml --file build/plain/defaults.json build/plain/everything.json
	@"$(BIN)/python" -m tools.channel_table
	@if [ -x "$(SAM)" ]; then "$(SAM)" validate --lint --region us-east-1; \
	  else echo "Not run: sam validate (make build installs the SAM CLI)"; fi

format: $(READY) ## Formats the code and mends what lint can mend
	@"$(BIN)/ruff" check --fix-only --quiet .
	@"$(BIN)/ruff" format .

chaos: $(READY) ## Runs the long chaos suite and prints its counts
	@CHAOS=long "$(BIN)/python" -m pytest -q -s tests/slow/chaos $(ARGS)

fuzz: $(READY) ## Fuzzes every entry point for MINUTES=1 each, or one: make fuzz TARGET=sqs_batch MINUTES=10
	@"$(BIN)/python" -m tests.slow.fuzz.long "$(or $(MINUTES),1)" $(TARGET)

bench: $(READY) ## Measures what docs promise about speed and size
	@"$(BIN)/python" -m bench $(ARGS)

# ── The documentation ───────────────────────────────────────────────────────────────────────────────

# Not --quiet: then nothing is a warning, and --strict finds nothing.
docs: $(READY) $(MKDOCS) ## Builds the documentation site, with search, into build/site
	@"$(BIN)/python" -m tools.site pages build/pages
	@NO_MKDOCS_2_WARNING=1 "$(MKDOCS)" build --strict
	@"$(BIN)/python" -m tools.site check build/site
	@echo "To read it: python3 -m http.server --directory build/site 8080, then http://127.0.0.1:8080"

pictures: $(READY) ## Makes the pictures in docs/pictures anew (needs Chromium)
	@SCREENSHOTS=docs/pictures "$(BIN)/python" -m pytest -q tests/slow/browser/test_pictures.py

# ── In AWS ──────────────────────────────────────────────────────────────────────────────────────────

which: $(READY)
	@$(eval CHOSEN := $(shell $(CHOOSE)))$(if $(CHOSEN),:,$(error No stack was chosen, and nothing was done))

build: $(READY) $(SAM) ## Builds what is deployed, into .aws-sam (no Docker needed)
	@"$(BIN)/python" -m tools.channel_table
	@echo "Building the functions and the layer: about a minute"
	@PYTHON="$(abspath $(BIN)/python)" "$(SAM)" build --config-env "$(or $(word 1,$(CHOSEN)),$(STAGE),default)"

deploy: which build ## Deploys into your AWS account, after showing what will change, and checks it (STAGE=staging)
	@echo "Deploying $(word 2,$(CHOSEN)): uploading, then the changes are shown; the first time takes some minutes"
	@"$(SAM)" deploy --config-env "$(word 1,$(CHOSEN))" $(WHERE) $(ARGS)
	@echo "Checking what was deployed"
	@"$(BIN)/python" -m cli doctor --after-deploy $(WHERE)

# What a release has: the built functions and layer with their template, for `sam deploy` in its folder.
package: build ## Packs what was built, into build/bird-salesforce.tar.gz
	@mkdir -p build
	@tar -czf build/bird-salesforce.tar.gz .aws-sam/build LICENSE README.md samconfig.toml
	@echo build/bird-salesforce.tar.gz

publish: build ## Publishes to the AWS Serverless Application Repository, private at first (BUCKET=...)
	@test -n "$(BUCKET)" || { echo "Say where to upload it: make publish BUCKET=... (docs/deploy.md, Releases)"; exit 2; }
	@mkdir -p build
	@"$(SAM)" package --s3-bucket "$(BUCKET)" --output-template-file build/published.yaml
	@"$(SAM)" publish --template build/published.yaml

destroy: which $(SAM) ## Deletes the deployed stack, after offering to disconnect it and asking; says what stays
	-@"$(BIN)/python" -m cli disconnect --before-destroy $(WHERE)
	@"$(SAM)" delete --config-env "$(word 1,$(CHOSEN))" $(WHERE) $(ARGS)

connect: which ## Connects the deployed stack to Salesforce: one click in a browser
	@"$(BIN)/python" -m cli connect $(WHERE) $(ARGS)

doctor: which ## Checks the deployed stack and says how to fix what is wrong (ARGS=--after-deploy tests more)
	@"$(BIN)/python" -m cli doctor $(WHERE) $(ARGS)

# ── For those who change the project ────────────────────────────────────────────────────────────────

pins: ## Pins the requirements anew, with hashes, from the *.in files
	@test -x .venv-pins/bin/uv || { "$(PYTHON)" -m venv .venv-pins && .venv-pins/bin/python $(PIP) install uv==0.13.9; }
	@for f in requirements-dev requirements-sam requirements-checkov requirements-docs; do .venv-pins/bin/uv pip compile -q --no-header \
	  --universal --python-version 3.11 --generate-hashes "$$f.in" -o "$$f.txt" || exit 1; done
	@.venv-pins/bin/uv pip compile -q --no-header --python-version 3.13 --generate-hashes \
	  layers/bridge/requirements.in -o layers/bridge/requirements.txt

sbom: $(READY) ## Writes what is in the layer, with licences, to build/layer.cdx.json (CycloneDX)
	@mkdir -p build && "$(BIN)/python" .ci/sbom.py > build/layer.cdx.json && echo build/layer.cdx.json

clean: ## Removes what was built and installed here
	@rm -rf .aws-sam .local build htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@rm -rf .venv .venv-sam .venv-checkov .venv-docs .venv-pins
