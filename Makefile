# make serve   the site on http://127.0.0.1:8000, with live reload
# make test    everything: lint, types, unit tests, doctests, pages, site in a browser
# make test TOPIC=optimizers/adam   all that concerns one topic, in half a minute
# make site    the site in site/, and site/dlkb-offline.zip to read without network
# make lighthouse  Lighthouse's scores of the site (needs Node 18.16 or later and Chromium)
# make bench   measure against peers; DEVICE=cuda on a GPU; writes benchmarks/<device>.json
# make bugs    plant known bugs, one at a time: the tests must kill every one
# make lies    plant falsehoods into the pages: how many are noticed, by kind; PAGE=optimizers/adam
#
# Linux, no GPU: make serve TORCH_INDEX=https://download.pytorch.org/whl/cpu
# fetches PyTorch's CPU build (200 MB) instead of the CUDA build (several GB).

PYTHON ?= python3
TORCH_INDEX ?=
DEVICE ?= cpu
ADAPTERS = adapters==1.3.0 transformers==4.57.6 huggingface-hub==0.36.0 tokenizers==0.22.1
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PIP := $(INSTALL) --constraint constraints.txt

.PHONY: serve test site figures check bench bugs lies lighthouse processors clean

serve: .venv/docs
	$(BIN)/dlkb serve

site: .venv/docs
	$(BIN)/dlkb build

figures: .venv/docs
	$(BIN)/dlkb figures

check: .venv/docs
	$(BIN)/dlkb check

test: .venv/test
ifdef TOPIC
	$(BIN)/python -m scripts.topic $(TOPIC)
else
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/dlkb prepare
	$(BIN)/pytest --numprocesses auto --verified
endif

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
	@touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) --editable '.[test]'
	$(PIP) --no-deps --upgrade --target .venv/apart torchvision  # see scripts/peers/apart.py
	$(INSTALL) --no-deps --upgrade --target .venv/adapters $(ADAPTERS)  # with the Transformers that it wants
	@touch $@ .venv/docs

.venv/bench: .venv/bin/python pyproject.toml constraints.txt
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch)
	$(PIP) --editable '.[bench]'
	@touch $@ .venv/test .venv/docs
