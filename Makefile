# The front door. `make help` lists the targets; each makes the environment first when it is missing or out of date.
#
#   MODEL=etlch | gemma | short | short_en | smollm_en     which family of configs: etlch (default) Llama-3.2-1B on one GPU; on two CPU cores
#                          gemma: the same data, Gemma 3 270M; short: short texts, minutes; short_en: in English, SmolLM2-135M;
#                          smollm_en: ETLCH's tasks in English, SmolLM2-135M
#   ARGS="key=value ..."   overrides for LlamaFactory, for example ARGS="num_train_epochs=5"
#   ENGINE=llamafactory | transformers      who answers (on a CPU: transformers; docs/engines.md)
#   FORCE=1                start over although a finished run is there

PYTHON ?= python3
MODEL ?= etlch
EMBEDDED := $(filter gemma short short_en smollm_en,$(MODEL))
ENGINE ?= $(if $(EMBEDDED),transformers,llamafactory)
BIN := .venv/bin
READY := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
RUN_FLAGS = $(ARGS) $(if $(FORCE),--force)
PREDICT = $(BIN)/etlch predict --engine $(ENGINE)
.DEFAULT_GOAL := help
.PHONY: help setup demo model test data check all-scales predict-baselines score report compare serve published bench lint clean

help: ## this list
	@sed -n '1,8p' Makefile | sed 's/^# \{0,1\}//'
	@grep -hE '^[a-z0-9%-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 22

setup: $(READY) ## make .venv with the locked versions (about 3 minutes, 6 GB)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "etlch needs Python 3.11 or newer, this is " + sys.version.split()[0] + " (say PYTHON=python3.12)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked packages into .venv (about 3 minutes, 6 GB, the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## the whole loop on two CPU cores, nothing downloaded (QUICK=1: two minutes, nothing trained)
	@$(BIN)/etlch demo $(if $(QUICK),--quick)

model: $(READY) ## make the weights of the embedded models (anything that needs them does)
	@$(BIN)/etlch model gemma3-270m smollm2-135m

test: $(READY) ## every test, one of which trains, predicts, scores and reports
	@$(BIN)/python -m pytest
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

data: $(READY) ## build data/ and dataset_info.json from data/knowledge and tasks/
	@$(BIN)/etlch data

check: $(READY) ## read every config of MODEL before a run costs hours
	@$(BIN)/etlch data --check
	@$(BIN)/etlch check $(wildcard configs/$(MODEL)_*.yaml) \
		$(if $(filter etlch,$(MODEL)),$(wildcard configs/predict*.yaml))

train-%: $(READY) ## fine-tune on 100, 300, 500 or 1000 samples a task (300_tuned: our recipe)
	@$(BIN)/etlch train configs/$(MODEL)_$*.yaml $(RUN_FLAGS)

predict-untuned: $(READY)
	@$(PREDICT) configs/$(if $(EMBEDDED),$(MODEL)_predict,predict_llama3.2-1b).yaml $(RUN_FLAGS)

predict-baselines: $(READY) ## answers of the paper's baselines, untuned (GPU, models from the Hub)
	@for name in llama3.2-1b qwen2.5-7b breeze-7b taide-8b; do \
		$(PREDICT) configs/predict_$$name.yaml $(RUN_FLAGS) || exit $$?; done

predict-%: $(READY) ## answer the test sets with the model of that scale (untuned: the base model)
	@$(PREDICT) configs/$(if $(EMBEDDED),$(MODEL)_predict,predict).yaml \
		adapter_name_or_path=runs/$(MODEL)/$(MODEL)_$*/adapter output_dir=runs/$(MODEL)/$(MODEL)_$*/predict $(RUN_FLAGS)

# MODEL=gemma is the small sibling of etlch
EXPERIMENT ?= $(if $(filter gemma,$(MODEL)),etlch_small,$(MODEL))
all-scales: $(READY) ## train and answer at every scale, then report
	@$(BIN)/etlch run experiments/$(EXPERIMENT).yaml $(if $(filter etlch,$(MODEL)),--only system=etlch --only system=llama3.2-1b) $(RUN_FLAGS)
	@$(MAKE) --no-print-directory report MODEL=$(MODEL)

experiment-%: $(READY) ## run a file of experiments/ to its tables: make experiment-mf_ner_small (ROOT=DIR: the corpora's folder)
	@$(BIN)/etlch run experiments/$*.yaml $(if $(ROOT),--root $(ROOT)) $(RUN_FLAGS)
	@$(BIN)/etlch report experiments/$*.yaml --out report/$*

score: $(READY) ## scores of runs/MODEL as a table and as report/scores.parquet
	@$(BIN)/etlch score runs/$(MODEL) --out report $(ARGS)

report: $(READY) ## scores, tests, win rates, figures: report/index.html
	@$(BIN)/etlch report runs/$(MODEL) --out report --floors $(ARGS)

# every system of runs/MODEL; the ready adapters of the embedded models where there is none
SYSTEMS = $(patsubst %/adapter/adapter_config.json,%,$(wildcard runs/$(MODEL)/*/adapter/adapter_config.json))
serve: $(READY) ## try the models of MODEL in the browser, or over HTTP (ARGS="--port 8001")
	@$(BIN)/etlch serve $(addprefix --system ,$(or $(SYSTEMS),models/gemma3-270m models/smollm2-135m)) $(ARGS)

export-%: $(READY) ## merge the adapter of that scale into its model, for vLLM, Ollama, llama.cpp (docs/serve.md)
	@$(BIN)/etlch export runs/$(MODEL)/$(MODEL)_$* $(if $(FORCE),--force) $(ARGS)

published: $(READY) ## recompute the papers' own numbers, as far as they can be
	@$(BIN)/etlch published

compare: $(READY) ## the verdict on two systems: make compare A=short_30 B=short_100
	@$(BIN)/etlch compare $(A) $(B)

bench: $(READY) ## speed, side by side with the peers
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit $$?; done

lint: $(READY) ## ruff, format included
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean: ## remove reports and caches (runs/ and .venv stay)
	rm -rf report .pytest_cache .ruff_cache .hypothesis
