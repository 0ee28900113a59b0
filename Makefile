# GNU make 3.81 or newer and plain sh, so that a fresh Debian and a stock macOS both do.
#   make PYTHON=python3.12 test     another interpreter (after `make clean`)
#   make BENCH_DATA=/big/disk bench keep the generated recordings (about 4 GB) for the next run
#   make BENCH_SCALE=full bench     larger movies, and memory with 2 GB of each format

PYTHON ?= python3
BENCH_DATA ?=
export BENCH_SCALE ?=
HARDEN ?=

VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := bench/.venv
BENCH_BIN := $(BENCH_VENV)/bin
DOCS_VENV := build/docs-venv
BENCHES := startup open read fields formats memory timestamps facades convert pzf compression video motion correct accuracy closure

# Folders are listed too: their time changes when a file is removed.
SOURCES := $(shell find src native ! -name __pycache__ ! -path '*/__pycache__/*') pyproject.toml README.md LICENSE

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
unexport PYTHONPATH PYTHONHOME

define REQUIREMENTS
import tomllib
with open("pyproject.toml", "rb") as stream:
    document = tomllib.load(stream)
project = document["project"]
own = project["name"] + "["
def flat(items):
    for item in items:
        if item.startswith(own):
            for extra in item[len(own):].split("]")[0].split(","):
                yield from flat(project["optional-dependencies"][extra.strip()])
        else:
            yield item
wanted = [*document["build-system"]["requires"], *project["dependencies"], *flat([own + "dev]"])]
print("\n".join(dict.fromkeys(wanted)))
endef
export REQUIREMENTS

define DOCS_REQUIREMENTS
import tomllib
with open("pyproject.toml", "rb") as stream:
    print("\n".join(tomllib.load(stream)["project"]["optional-dependencies"]["docs"]))
endef
export DOCS_REQUIREMENTS

define TOOLS
set -u
has() { command -v "$$1" >/dev/null 2>&1; }
python_version() { "$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
python_headers() { "$$PYTHON" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; }
missing() {
    "$$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1 || printf ' python3-venv'
    python_headers || printf ' python3-dev'
    has "$${CXX:-c++}" || has g++ || has clang++ || printf ' g++'
    if [ "$$1" = with-cmake ]; then has cmake || printf ' cmake'; fi
}
if ! python_version; then
    echo "galvo needs Python 3.11 or newer as '$$PYTHON': install python3, or name another one: make PYTHON=python3.12" >&2
    exit 1
fi
packages=$$(missing with-cmake)
if [ -n "$$packages" ] && has apt-get && [ "$$(id -u)" = 0 ]; then
    echo "installing$$packages with apt-get"
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null || true
fi
packages=$$(missing without-cmake)
if [ -n "$$packages" ]; then
    echo "galvo cannot be built, missing:$$packages (Debian: sudo apt-get install$$packages; macOS: xcode-select --install)" >&2
    exit 1
fi
endef
export TOOLS
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install demo test check docs bench-peers bench harden sanitize clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed ## .venv with galvo built and installed, and the development tools

demo: $(VENV)/.installed ## generate a recording, show, convert and verify it
	@$(BIN)/galvo demo

test: $(VENV)/.installed ## the test suite, on two processes
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not harden"

check: $(VENV)/.installed ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

harden: $(VENV)/.installed ## the long test matrices, on two processes (a part: make HARDEN="-k hdf5" harden)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m harden $(HARDEN)

sanitize: build/sanitize/huffman_streams ## 100,000 damaged Huffman streams, with AddressSanitizer and UBSan
	@build/sanitize/huffman_streams 100000
	@GALVO_ISA=baseline build/sanitize/huffman_streams 20000

docs: $(DOCS_VENV)/.installed ## the documentation as a site without a server: build/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --strict
	@echo "the documentation is in build/site/index.html"

bench-peers: $(BENCH_VENV)/.installed ## bench/.venv with galvo and the libraries that it is compared with

bench: $(BENCH_VENV)/.installed ## every figure, ours and the peers' in one run; results in bench/results
	@data='$(BENCH_DATA)'; status=0; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	if [ -z "$$data" ]; then data=$$(mktemp -d) || exit 1; trap 'rm -rf "$$data"' EXIT; fi; \
	for name in $(BENCHES); do $(BENCH_BIN)/python -m bench.$$name --data "$$data" || status=1; done; \
	$(BENCH_BIN)/python -m bench.summary; \
	exit $$status

clean: ## remove the environments, the build and the caches (bench/results stays)
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# No Python in it, so that the sanitizers see nothing but these kernels.
SANITIZED := $(wildcard native/sanitize/*.cpp native/huffman_*.cpp) native/sqrt_quantize.cpp native/isa.cpp

build/sanitize/huffman_streams: $(SANITIZED) $(wildcard native/*.hpp native/sanitize/*.hpp)
	@mkdir -p $(@D)
	@$(CXX) -std=c++17 -O2 -g -Wall -Wextra -ffp-contract=off -fno-math-errno -pthread \
	    -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ $(SANITIZED)

# Reads the sources, so galvo itself need not be built.
$(DOCS_VENV)/.installed: pyproject.toml
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -c "$$DOCS_REQUIREMENTS" > $(DOCS_VENV)/requirements.txt
	@echo "installing mkdocs into $(DOCS_VENV)"
	@$(DOCS_VENV)/bin/python -m pip install -q -r $(DOCS_VENV)/requirements.txt
	@touch $@

$(VENV)/.created:
	@sh -c "$$TOOLS"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# cmake and ninja have wheels, a compiler has none.
$(VENV)/.requirements: pyproject.toml $(VENV)/.created
	@$(BIN)/python -c "$$REQUIREMENTS" > $(VENV)/requirements.txt
	@command -v cmake >/dev/null 2>&1 || printf 'cmake\nninja\n' >> $(VENV)/requirements.txt
	@echo "installing the dependencies into $(VENV)"
	@$(BIN)/python -m pip install -q -r $(VENV)/requirements.txt
	@touch $@

# Without build isolation CMake's folder build/ stays valid, so that a rebuild takes seconds; one wheel serves both environments.
$(VENV)/.wheel: $(SOURCES) $(VENV)/.requirements
	@echo "building galvo"
	@rm -rf $(VENV)/wheel
	@MAKEFLAGS= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip wheel -q --no-build-isolation --no-deps -w $(VENV)/wheel .
	@touch $@

$(VENV)/.installed: $(VENV)/.wheel
	@$(BIN)/python -m pip install -q --force-reinstall --no-deps --no-index $(VENV)/wheel/galvo-*.whl
	@touch $@

# CalSciPy asks for a package that is on no index; its one-liners do without.
$(BENCH_VENV)/.peers: bench/peers.txt pyproject.toml | $(VENV)/.wheel
	@test -x $(BENCH_BIN)/python || $(PYTHON) -m venv $(BENCH_VENV)
	@echo "installing the peers into $(BENCH_VENV)"
	@$(BENCH_BIN)/python -m pip install -q -r bench/peers.txt $(VENV)/wheel/galvo-*.whl
	@$(BENCH_BIN)/python -m pip install -q --no-deps CalSciPy==0.8.3
	@touch $@

$(BENCH_VENV)/.installed: $(BENCH_VENV)/.peers $(VENV)/.wheel
	@$(BENCH_BIN)/python -m pip install -q --force-reinstall --no-deps --no-index $(VENV)/wheel/galvo-*.whl
	@touch $@
