# The only entry points; CI calls the same. `make help` lists them.
# PYTHON=/path/to/python3 picks the interpreter, ARGS="..." is handed to every ansible-playbook.
PYTHON ?= python3
ARGS ?=
export PYTHON
export PYTHONUNBUFFERED := 1
MAKEFLAGS += --no-print-directory

RUNTIME := .venv
TOOLS := .venv-dev
PLAYBOOK = PATH="$(CURDIR)/$(RUNTIME)/bin:$$PATH" ansible-playbook -i inventory/embedded $(ARGS)
RUN = PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(TOOLS)/bin/python tests/run.py
MEASURED := tests/fixtures/memory
COMPILE = $(RUNTIME)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make locks" $(if $(UPGRADE),--upgrade)

.PHONY: help env env-dev demo demo-down test unit processes commands lint sanity integration real property scenarios rules drills test-all locks litellm-keys schemas build docs

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

env: ## the controller's environment in .venv, from its hashed lock
	@tools/environment.sh $(RUNTIME) requirements.txt

env-dev: env ## the same and the tools of the tests, in .venv-dev
	@tools/environment.sh $(TOOLS) requirements-dev.txt

demo: env ## the embedded lab on this machine: install, deploy, verify, benchmark
	@$(PLAYBOOK) site.yml
	@$(PLAYBOOK) benchmark.yml

demo-down: ## stop what the demo started and remove its state
	@if [ ! -d build/embedded ]; then echo "demo-down: nothing to do, there is no build/embedded"; else $(MAKE) env && \
	engines=$$(cd build/embedded && ls -d hosts/*/llama_cpp hosts/*/ollama 2>/dev/null | sed 's|.*/||' | sort -u); \
	for engine in $${engines:-llama_cpp}; do $(PLAYBOOK) site.yml --tags install,deploy -e embedded_engine=$$engine \
	-e llama_cpp_state=absent -e ollama_state=absent -e litellm_state=absent || exit 1; done && \
	rm -rf build/embedded && echo "demo-down: the embedded lab is gone"; fi

test: env-dev ## unit, processes, commands, lint, sanity and the embedded lab, counted
	@$(RUN) unit processes commands lint sanity integration

unit: env-dev ## plain pytest, seconds
	@$(RUN) unit

processes: env-dev ## what talks to servers on loopback or starts processes
	@$(RUN) processes

commands: env-dev ## the commands of a user: the README's, and broken inventories
	@$(RUN) commands

lint: env-dev ## ansible-lint, yamllint, ruff, mypy
	@$(RUN) lint

sanity: env-dev ## ansible-test sanity on a copy of the tracked files
	@$(RUN) sanity

integration: env-dev ## the embedded lab as a molecule scenario
	@$(RUN) integration

real: env-dev ## real servers on this machine: a registry from Debian's package
	@$(RUN) real

property: env-dev ## long generated cases
	@$(RUN) property

scenarios: env-dev ## molecule scenarios in containers (root, Docker), then real engines and the pinned LiteLLM
	@RULES_RELEASES=pinned $(RUN) scenarios engines rules

engines: env-dev ## memory and admission against real engines, built once
	@$(RUN) engines

rules: env-dev ## what the audit says against four real releases of LiteLLM
	@$(RUN) rules

drills: env-dev ## long drills
	@$(RUN) drills

test-all: env-dev ## everything
	@$(RUN) unit processes commands lint sanity integration real property scenarios rules drills

locks: env ## compile every lock again; UPGRADE=1 takes newer versions
	@for wanted in requirements-uv requirements requirements-dev $(basename $(wildcard roles/*/files/*.in tests/engines/*.in tests/rules/*.in)); do \
		echo "locks: $$wanted.txt"; case $$wanted in *-openmp) more=--no-deps;; *) more=;; esac; \
		$(COMPILE) $$more "$$wanted.in" -o "$$wanted.txt" >/dev/null || exit 1; done

litellm-keys: env-dev ## ask releases of LiteLLM what they know, for the audit
	@$(TOOLS)/bin/python -m tests.rules.inventory

schemas: env ## generate plugins/schemas from the models
	@$(RUNTIME)/bin/python -m plugins.plugin_utils.schemas

build: env ## the collection's artifact in build/, from what is committed and nothing else
	@rm -rf build/collection && mkdir -p build/collection && git archive HEAD | tar -x -C build/collection
	@$(RUNTIME)/bin/ansible-galaxy collection build --force --output-path build build/collection && rm -rf build/collection

docs: env ## the README's table of errors, the example's routing, the audit's rules, then every module, filter and role as ansible-doc shows them
	@$(RUNTIME)/bin/python perf/memory_error.py $(MEASURED)/memory_dev.jsonl $(MEASURED)/memory_dev_models.json --readme README.md
	@PATH="$(CURDIR)/$(RUNTIME)/bin:$$PATH" ansible-playbook -i inventory/homelab playbooks/plan.yml
	@$(RUNTIME)/bin/python tools/routing_pictures.py build/homelab README.md docs/routing.md docs/routing.svg
	@$(RUNTIME)/bin/python -m plugins.plugin_utils.audit.table docs/audit.md
	@for kind in module filter role; do echo "$$kind:"; \
		$(RUNTIME)/bin/ansible-doc --type "$$kind" --list homelab.llm || exit 1; done
