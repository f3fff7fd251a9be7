# make serve   the site on http://127.0.0.1:8000, with live reload
# make test    everything: lint, types, unit tests, doctests, pages, site in a browser
# make test TOPIC=optimizers/adam   all that concerns one topic, in half a minute
# make site    the site in site/, and site/dlkb-offline.zip to read without network
# make lighthouse  Lighthouse's scores of the site (needs Node 18.16 or later and Chromium)
# make bench   measure against peers; DEVICE=cuda on a GPU; writes benchmarks/<device>.json
# make bugs    plant known bugs, one at a time: the tests must kill every one
# make lies    plant falsehoods into the pages: how many are noticed, by kind; PAGE=optimizers/adam
# make draws   run pages with other random numbers: which words change; PAGE=optimizers/adam
#
# Linux, no GPU: make serve TORCH_INDEX=https://download.pytorch.org/whl/cpu
# fetches PyTorch's CPU build (200 MB) instead of the CUDA build (several GB).

PYTHON ?= python3
TORCH_INDEX ?=
DEVICE ?= cpu
ADAPTERS = adapters==1.3.0 transformers==4.57.6 huggingface-hub==0.36.0 tokenizers==0.22.1
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
PIP := $(INSTALL) --constraint constraints.txt
# pip would compile on one core. What some packages carry for other Pythons does not compile here;
# a third of the rest, their tests and hundreds of models, is compiled where it is imported, if it is.
COMPILE := $(BIN)/python -W ignore -m compileall -qq -j 0 \
	-x '/tests/|/transformers/models/|/diffusers/' .venv || true
# Two things at a time: what is installed apart, and types beside figures.
MAKEFLAGS += --jobs=2

.PHONY: serve test style types prepared site figures check bench bugs lies lighthouse processors draws clean

serve: .venv/docs
	$(BIN)/dlkb serve

site: .venv/docs
	$(BIN)/dlkb build

figures: .venv/docs
	$(BIN)/dlkb figures

check: .venv/docs
	$(BIN)/dlkb check

ifdef TOPIC
test: .venv/test
	$(BIN)/python -m scripts.topic $(TOPIC)
else
test: style types prepared
	$(BIN)/pytest --numprocesses auto --verified
endif

style: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/test
	$(BIN)/mypy

prepared: .venv/test
	$(BIN)/dlkb prepare

lighthouse: site
	$(BIN)/python scripts/lighthouse.py

bench: .venv/bench
	$(BIN)/python -m scripts.bench.run --device $(DEVICE)

bugs: .venv/test
	$(BIN)/python scripts/planted_bugs.py

lies: .venv/test
	$(BIN)/python scripts/planted_lies.py $(PAGE)

processors: .venv/docs
	$(BIN)/python -m scripts.processors $(PAGE)

draws: .venv/docs
	$(BIN)/python -m scripts.draws $(PAGE)

clean:
	rm -rf .venv .cache site docs/assets/figures docs/benchmarks.md docs/claims.md docs/claims.json \
		docs/downloads docs/llms.txt docs/assets/previews docs/assets/thumbnails

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("dlkb needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear .venv

# An environment whose making was interrupted has a python, but no pip: it is made again.
ifneq ($(shell $(BIN)/python -c 'import pip' 2>&1),)
.PHONY: .venv/bin/python
endif

# The test extra holds the docs extra, so either stamp serves for the site.
.venv/docs: .venv/bin/python pyproject.toml constraints.txt
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) --editable '.[docs]'
	$(COMPILE)
	@touch $@

.venv/test: .venv/tested .venv/apart .venv/adapters
	$(COMPILE)
	@touch $@ .venv/docs

.venv/tested: .venv/bin/python pyproject.toml constraints.txt
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) --editable '.[test]'
	@touch $@

.venv/apart: .venv/bin/python pyproject.toml constraints.txt  # see scripts/peers/apart.py
	$(PIP) --no-deps --upgrade --target $@ torchvision
	@touch $@

.venv/adapters: .venv/bin/python pyproject.toml constraints.txt  # with the Transformers that it wants
	$(INSTALL) --no-deps --upgrade --target $@ $(ADAPTERS)
	@touch $@

.venv/bench: .venv/test
	$(PIP) --editable '.[bench]'
	$(COMPILE)
	@touch $@
