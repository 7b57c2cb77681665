# Everything a fresh Debian 12 machine needs, from Debian's packages and PyPI. Run as root.
SHELL    := /bin/bash
VENV     := .venv
BIN      := $(VENV)/bin
DEBIAN   := mininet bridge-utils iproute2 iputils-ping ethtool iperf3 socat netcat-openbsd nftables tshark nmap hping3 \
            chromium python3-venv curl openssl gcc libc6-dev libpython3-dev openmpi-bin
PYTHON   := $(firstword $(wildcard /usr/bin/python3) python3)
APT      := DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0

# Every test starts processes: without compiled files each of them would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup compiled demo test bench bench-compare soak notebooks docs lint lock clean

setup: $(VENV)/.debian $(VENV)/.python compiled

# Debian's packages follow the release (stable); PyPI's are pinned by hash in requirements.lock.
$(VENV)/.debian: Makefile
	@missing=""; for p in $(DEBIAN); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  [ "$$(id -u)" = 0 ] || { echo "make setup: installing$$missing needs root" >&2; exit 1; }; \
	  echo "setup: installing$$missing"; \
	  $(APT) update && $(APT) install -y --no-install-recommends $$missing >/dev/null; fi
	@mkdir -p $(VENV) && touch $@

$(VENV)/.python: requirements.lock | $(VENV)/.debian
	@echo "setup: Python packages into $(VENV)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# The hot modules of nodes/ as machine code, where a compiler is; does nothing if they are as they were.
compiled: $(VENV)/.python
	@$(BIN)/python -m nodes.compiled.build || echo "setup: nodes/ runs as pure Python: it could not be compiled" >&2

demo: setup
	$(BIN)/python run.py --topology star --hosts 4 --workload all_reduce --size 1M:16M:x4 \
	  --path devmem,bounce,kernel --repeat 3

# The unit tests of the packet path with the sources; all unit tests as a user has them, compiled; then the system tests.
# Of these each has a cluster of processes, and waits for half of its time: three at a time on two cores.
PATH_TESTS := $(addprefix tests/,nic netmem sock inet path semantics tcp simulation wire machine client syscall endpoint)
UNITS      := -n logical --maxprocesses 8 --dist worksteal
SYSTEM     := -n $(shell expr 3 \* $$(nproc) / 2) --maxprocesses 6 --dist loadgroup
test: $(VENV)/.python
	@$(MAKE) --no-print-directory --jobs 2 --output-sync setup lint
	DEVMEM_PURE=1 $(BIN)/python -m pytest $(UNITS) $(PATH_TESTS)
	$(BIN)/python -m pytest $(UNITS) --ignore tests/system
	$(BIN)/python -m pytest $(SYSTEM) tests/system

# ONLY: parts of it, comma-separated; BENCH: more options, as --rounds 3.
bench: setup
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

bench-compare: setup
	@$(BIN)/python -m tests.bench.compare $(OLD) $(NEW)

soak: setup
	$(BIN)/python -m pytest --soak

# JupyterLab on this machine alone, with analysis/notebooks; installed when it is first asked for.
notebooks: setup $(VENV)/.notebooks
	PYTHONPATH=$(CURDIR) $(BIN)/python -m jupyterlab --ip 127.0.0.1 --KernelManager.transport=ipc \
	  --ServerApp.root_dir=$(CURDIR)/analysis/notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(JUPYTER)

$(VENV)/.notebooks: requirements-notebooks.lock $(VENV)/.python
	@echo "notebooks: JupyterLab into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-notebooks.lock
	@touch $@

# The pages of docs/ as a site, in site/: a link or an anchor that leads nowhere ends it. Installed when first asked.
docs: setup $(VENV)/.docs
	PYTHONPATH=$(CURDIR) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "docs: site/index.html"

$(VENV)/.docs: requirements-docs.lock $(VENV)/.python
	@echo "docs: mkdocs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

lint: $(VENV)/.python
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# JupyterLab and mkdocs have locks of their own, so that setup is quick; what locks share is the same version.
COMPILE  := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
            --no-emit-find-links --no-emit-trusted-host --no-header --no-annotate
lock:
	$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	$(COMPILE) --extra notebooks --constraint requirements.lock -o requirements-notebooks.lock pyproject.toml
	$(COMPILE) --extra docs --constraint requirements.lock --constraint requirements-notebooks.lock \
	  -o requirements-docs.lock pyproject.toml

clean:
	@[ ! -x $(BIN)/python ] || $(BIN)/python run.py clean
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
