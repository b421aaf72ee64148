# Each command does its own set-up. For PyTorch without CUDA, which is a smaller download:
#   make book PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
.DEFAULT_GOAL := help
.PHONY: help book test serve lab bench mutants sweep clean batch reproduce test-batch test-slurm test-oldest

# The first Python that is new enough; pass PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11; do \
	$$p -c '' 2>/dev/null && echo $$p && exit; done; echo python3)
PIP_ARGS ?=
PORT ?= 0# any free one
HTML := _build/html
# The chapters step small networks: more threads than this wait for each other, and for long on a
# busy machine. The accelerated kernel and the compiled libraries' large products keep all cores.
export OMP_NUM_THREADS ?= 1
# Some containers forbid Python to keep what it has compiled; then each of the many processes would
# compile all of torch's and sympy's modules again, six seconds each time.
unexport PYTHONDONTWRITEBYTECODE
# A backend named in the environment, as in many containers, would leave the pages without figures.
unexport MPLBACKEND
READY := .venv/.installed
BIN := .venv/bin

# The names and contents of all that the book shows, the packages it runs on and the variables that
# it reads, as one number. A checksum rather than times: it sees a deleted file too; and behind links.
CHECKSUM = { find -L Makefile _config.yml _toc.yml book rnnlib results "$${RNNLIB_RESULTS:-results}" -type f \
	! -path '*/.*' ! -path '*/__pycache__/*' -exec cksum {} +; env | grep '^RNNLIB_'; \
	ls -d .venv/lib/python*/site-packages/*.dist-info; } 2>/dev/null | LC_ALL=C sort | cksum

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

book: $(READY) ## build the book into _build/html
	@now=$$($(CHECKSUM)); \
	if [ "$$now" = "$$(cat $(HTML)/.sources 2>/dev/null)" ]; then echo "Nothing has changed since the last build."; else \
		echo "Building the book: chapters whose code or package changed are run, the others come from a cache."; \
		rm -rf $(HTML) _build/.doctrees _build/jupyter_execute; \
		$(BIN)/jupyter-book build book --config _config.yml --toc "$(CURDIR)/_toc.yml" --path-output . -W --keep-going \
			&& echo "$$now" > $(HTML)/.sources; \
	fi
	@echo "The book: file://$(CURDIR)/$(HTML)/index.html"

test: book ## check the code, the chapters and the built book
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --nbmake --nbmake-timeout=300 --after-build 10 book tests
	$(BIN)/python tools/sweep.py --short

serve: book ## show the book on 127.0.0.1 (PORT=8000 for a port of your own)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

lab: $(READY) ## open the chapters in JupyterLab
	$(BIN)/jupyter-lab book

bench: $(READY) ## measure the package's speed
	$(BIN)/python -m benchmarks

# Batches: what is missing of the runs that experiments.toml declares. MINUTES=150 stops in time,
# JOBS=4 runs at a time, DEVICE=cuda, SLURM="slurm_partition=gpu", DRY=1 only says what would run.
TARGETS := $(shell sed -n 's/^\[\(.*\)\]$$/\1/p' experiments.toml)
.PHONY: $(TARGETS)
BATCH = $(BIN)/python -m rnnlib batch $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JOBS),--jobs $(JOBS)) \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(SLURM),--slurm "$(SLURM)") $(if $(DRY),--dry-run)
ENGINE := .venv-batch/.installed

reproduce: $(READY) $(ENGINE) ## make the runs that the paper's figures and tables are missing (MINUTES=150)
	@$(BATCH)

$(TARGETS): $(READY) $(ENGINE)
	@$(BATCH) $@

batch: $(ENGINE) ## install Snakemake, which runs batches, into .venv-batch

test-batch: $(READY) $(ENGINE) ## run real batches, with kills and failures, and 1500 flipped bits; takes minutes
	RNNLIB_TEST_BATCH=1 RNNLIB_TEST_FLIPS=1500 $(BIN)/python -m pytest tests/runs/test_batch.py tests/runs/test_faults.py

test-slurm: $(READY) $(ENGINE) ## run a batch on a real SLURM of one node (root; Debian's slurm-wlm and munge)
	RNNLIB_TEST_SLURM=1 $(BIN)/python -m pytest tests/runs/test_slurm.py

# The folders whose tests need nothing but the core, and the wheel's own: a fresh environment of the
# oldest packages, without any extra, into which the package is installed as a user would.
OLDEST_PYTHON ?= python3.11
OLDEST := .venv-oldest/.installed
CORE_TESTS := $(addprefix tests/,nn tasks systems dynamics training memory smoothness diagnosis figures)

test-oldest: $(OLDEST) ## the core with the oldest packages that it takes, and a report from its wheel
	rm -rf build
	.venv-oldest/bin/python -m pip install --quiet --no-compile --no-deps --force-reinstall .
	RNNLIB_TEST_INSTALLED=1 .venv-oldest/bin/python -m pytest tests/test_release.py $(CORE_TESTS)

mutants: $(READY) ## would the tests notice? MODULE=dynamics/lyapunov or dynamics, COUNT=60, SEED=0, TESTS="..."
	$(BIN)/python tools/mutants.py $(MODULE) --count $(or $(COUNT),60) --seed $(or $(SEED),0) \
		$(if $(TESTS),--tests $(TESTS))

sweep: $(READY) ## the numerical tests as other processors would run them
	$(BIN)/python tools/sweep.py

clean: ## remove the built book and the caches; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis

# The stamp is written last, so that an install cut short starts again. Modules are compiled as they
# are imported: compiling all that the packages hold would take two thirds of a minute.
$(READY): requirements.txt requirements-networks.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not one. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing requirements.txt into .venv; the first time takes minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-compile $(PIP_ARGS) -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps -r requirements-networks.txt
	$(BIN)/python -m pip install $(PIP_ARGS) --quiet --no-deps --editable .
	@touch $@

$(ENGINE): requirements-batch.txt
	$(PYTHON) -m venv .venv-batch
	.venv-batch/bin/python -m pip install --quiet --no-compile -r requirements-batch.txt
	@touch $@

$(OLDEST): requirements-oldest.txt
	$(OLDEST_PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --no-compile $(PIP_ARGS) -r requirements-oldest.txt
	@touch $@
