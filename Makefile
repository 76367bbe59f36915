# Everything a person needs: make demo, make test, make rig. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test rig bench service install uninstall deb constraints clean

# where `make install` puts things; DESTDIR is a place that becomes / later
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
# systemd and udev look here for a local installation, and nowhere else
SYSTEM_PREFIX ?= $(if $(filter /usr,$(PREFIX)),/usr,/usr/local)
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
BUILD ?= build
# folders with the wheel of the project and those of all it needs; without: fetched, and built from this checkout
WHEELS ?= $(BUILD)/wheels
DIST ?= dist
DEB_COMPRESSION ?= xz
# systemd-python builds against libsystemd; an agent without it keeps no structured journal
EXTRAS ?= $(shell pkg-config --exists libsystemd 2>/dev/null && echo '[service,video]' || echo '[video]')
LAYOUT = PYTHON='$(PYTHON)' PREFIX='$(PREFIX)' SYSTEM_PREFIX='$(SYSTEM_PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' \
  ZSH_COMPLETIONS='$(ZSH_COMPLETIONS)' EXTRAS='$(EXTRAS)' PURGE='$(PURGE)'

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/pip: constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) here: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: $(PYTHON) is older than 3.11: name a newer one, make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: no venv module here: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/run: $(VENV)/pip pyproject.toml
	@echo "installing camera-agent into $(VENV) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/test: $(VENV)/pip pyproject.toml
	@echo "installing camera-agent and what its tests need into $(VENV) ..."
	@$(INSTALL) --editable '.[test]'
	@touch $@

demo: $(VENV)/run ## Two simulated cameras: photos in photos/, a contact sheet, then both on one trigger with its ledger
	@$(BIN)/camera-agent demo

test: $(VENV)/test ## Unit, property and contract tests on the simulation; linters and types as tests
	$(BIN)/python -m pytest $(ARGS)

rig: $(VENV)/pip ## Build and boot the virtual rig, run hw-tests on real drivers in it (SHELL_IN_RIG=1: a prompt; BENCH=1: figures)
	$(BIN)/python hw-tests/rig/run.py $(if $(SHELL_IN_RIG),--shell) $(if $(BENCH),--bench --timeout 120) $(ARGS)

bench: $(VENV)/test ## The comparisons that need no rig, written to docs/benchmarks/
	@$(INSTALL) --editable '.[bench]'
	$(BIN)/python -m benchmarks

service: $(VENV)/pip ## Add the extra `service` (systemd-python), which builds against libsystemd
	@pkg-config --exists libsystemd \
	  || { echo "make: libsystemd's headers are missing: apt-get install libsystemd-dev pkg-config gcc python3-dev" >&2; exit 1; }
	@$(INSTALL) --editable '.[service]'

# with a pip of the very Python that will run them
$(BUILD)/wheels: constraints.txt pyproject.toml $(shell find agent -name '*.py' 2>/dev/null)
	@echo "building the wheel of camera-agent, fetching those of what it needs ..."
	@rm -rf $@
	@$(PYTHON) -m venv $(BUILD)/pip || { echo "make: no venv module here: apt-get install python3-venv" >&2; exit 1; }
	@PIP_CONSTRAINT=constraints.txt $(BUILD)/pip/bin/pip wheel --quiet --disable-pip-version-check --wheel-dir $@ '.$(EXTRAS)'

install: $(WHEELS) ## The agent and its service into PREFIX (/usr/local), below DESTDIR; WHEELS=DIR for one without network
	@$(LAYOUT) DESTDIR='$(DESTDIR)' packaging/install $(WHEELS)
	@$(if $(DESTDIR),,packaging/debian/postinst configure)

uninstall: ## Take it away again; PURGE=1: with configuration, pictures and user
	@$(if $(DESTDIR),,packaging/debian/prerm remove)
	@$(LAYOUT) DESTDIR='$(DESTDIR)' packaging/uninstall
	@$(if $(DESTDIR),,packaging/debian/postrm remove $(if $(PURGE),&& packaging/debian/postrm purge))

# the system's own: another is on no other machine
deb: PYTHON = /usr/bin/python3
deb: $(WHEELS) ## A Debian package for this machine's release, in dist/
	@rm -rf $(BUILD)/deb
	@$(LAYOUT) DESTDIR=$(BUILD)/deb PREFIX=/usr SYSTEM_PREFIX=/usr SYSCONFDIR=/etc \
	  ZSH_COMPLETIONS=/usr/share/zsh/vendor-completions EXTRAS='[service,video]' packaging/install $(WHEELS)
	@DEB_COMPRESSION=$(DEB_COMPRESSION) packaging/deb $(BUILD)/deb $(DIST)

constraints: ## Renew constraints.txt from what PyPI has today
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet '.[test,bench,parquet,service,video]' hatchling
	{ sed -n 1p constraints.txt; build/pins/bin/pip freeze --exclude camera-agent; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## Remove what the targets above made here
	rm -rf $(VENV) build dist photos .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
