# Everything a contributor or CI does; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements/build.txt requirements/dev.txt $(wildcard hatch_build.py core/lineward/native/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements/build.txt --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check --quiet
	@touch $@

dev: $(STAMP) ## make .venv with everything for development

check: $(STAMP) ## lint, types, import contracts, chart (the first time also builds Helm)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy e2e
	$(BIN)/lint-imports
	$(BIN)/python -m e2e.tools build helm
	"$$($(BIN)/python -m e2e.tools path helm)" lint --strict --quiet charts/lineward --values e2e/chart-values.yaml

format: $(STAMP) ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(STAMP) ## write what is made from other files: the chart's copies of crds/, docs/reference
	$(BIN)/python charts/crds.py
	$(BIN)/python charts/reference.py

test: $(STAMP) ## unit and shell tests, under 3 minutes (the first time also builds Helm)
	$(BIN)/python -m e2e.tools build helm
	$(BIN)/python -m pytest tests -n 2 --dist loadfile

test-native: $(STAMP) ## the C code under sanitizers, valgrind, as Armv8 under qemu; pymerkle; FUSE
	$(BIN)/python tests/native/check_native.py
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements/oracle.txt
	LINEWARD_TOOLS=require $(BIN)/python -m pytest tests/manifest/test_oracle.py tests/manifest/test_file_systems.py

RUNS ?= 1000000
fuzz: $(STAMP) ## fuzz the manifest and proof readers (RUNS=1000000)
	mkdir -p out/fuzz && rm -rf out/fuzz/vectors && cp -r tests/format_goldens/manifest-v1 out/fuzz/vectors && find out/fuzz -size +20k -delete
	set -e; cd out; for engine in python ""; do \
		LINEWARD_ENGINE=$$engine ../$(BIN)/python ../tests/fuzz/fuzzer.py ../tests/fuzz/fuzz_manifest.py -runs=$(RUNS) -max_len=4096 fuzz; done

bench: $(STAMP) ## speed, as ratios beside something bare
	set -e; for script in bench/*.py; do $(BIN)/python $$script; done

PEERS_FOLDER ?= out/peers
peers: ## install what `make bench` compares with, where pip can (PEERS_FOLDER=out/peers; then PEERS=$PWD/out/peers/bin)
	$(PYTHON) -m venv $(PEERS_FOLDER)
	$(PEERS_FOLDER)/bin/pip install --quiet model-signing==1.1.1 'pyOpenSSL>=26' dvc
	@echo 'openssl, sha256sum and tar are part of most systems; b3sum: apt-get install b3sum'

e2e: $(STAMP) ## end-to-end tests on a real cluster (starts one, and stops what it started)
	$(BIN)/python -m e2e.tools build
	$(BIN)/python -m pytest e2e -n 4

demo: $(STAMP) ## set up everything and watch what is admitted and what is refused; CLUSTER=existing for a cluster of yours
	$(BIN)/python -m e2e.demo

demo-down: sigstore-down cluster-down ## stop what a finished demo left up

sigstore: $(STAMP) ## start a private Sigstore on loopback (docs/contributing/private-sigstore.md)
	$(BIN)/python -m e2e.sigstore up

sigstore-down: $(STAMP) ## stop it; its keys stay
	$(BIN)/python -m e2e.sigstore down

FUZZ ?= bundle statement provenance policy version

fuzz-evidence: $(STAMP) ## fuzz the evidence verifier and its parsers (FUZZ=bundle RUNS=100000 for less)
	mkdir -p out/fuzz
	set -e; for target in $(FUZZ); do PYTHONPATH=. $(BIN)/python tests/fuzz/fuzzer.py -m tests.fuzz $$target -runs=$(RUNS) -artifact_prefix=out/fuzz/; done

clean: ## remove what builds and tests left in the checkout
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f core/lineward/native/*.so

# Hash-pinned requirements: for the images' Python alone, and for any Python that people use. UPGRADE=--upgrade renews all.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate \
  --no-emit-package lineward --python-version 3.11 $(UPGRADE)
LOCK_EXTRA = $(LOCK) $(1) --extra $$extra --output-file requirements/$$extra.txt pyproject.toml || exit 1

lock: $(STAMP) ## renew the hash-pinned requirements from pyproject.toml
	$(BIN)/pip install --quiet uv
	for extra in operator webhook ledger sidecar; do $(call LOCK_EXTRA,--python-platform linux); done
	for extra in cli dev; do $(call LOCK_EXTRA,--universal); done
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(LOCK) --universal --output-file requirements/build.txt -
	$(LOCK) --python-platform linux --output-file e2e/demo/trainer/requirements/trainer.txt e2e/demo/trainer/requirements/trainer.in

CLUSTER_COMMAND = $(PYTHON) -m e2e.cluster

cluster: ## start a real Kubernetes on this machine, with the project's images
	$(CLUSTER_COMMAND) up
	$(CLUSTER_COMMAND) load

cluster-down: ## stop it and remove all that it made
	$(CLUSTER_COMMAND) down

cluster-status: ## what of it runs
	$(CLUSTER_COMMAND) status

cluster-logs: ## logs of its parts; COMPONENT=apiserver for one
	$(CLUSTER_COMMAND) logs $(COMPONENT)

.PHONY: help bench peers dev check format generate test e2e demo demo-down clean sigstore sigstore-down lock cluster cluster-down cluster-status cluster-logs test-native fuzz fuzz-evidence
