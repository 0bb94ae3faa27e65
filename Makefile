# Everything a developer runs. `make run`, `make demo` and `make test` each work as the first command.

# The system's Python: Apache's user can't read one in somebody's home.
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)
export PYTHON

VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=requirements.lock $(BIN)/pip install -q
NPM := $(BIN)/python tools/npm.py
OLDEST := $(VENV)/oldest
FRONTEND := src/frontend
PAGE := $(shell find $(FRONTEND) -type f -not -path '*/node_modules/*')
SOURCES := src tests tools benchmarks examples hatch_build.py

# Nobody but root can use a checkout in root's home; these targets then work on a copy elsewhere.
ifeq ($(MAKELEVEL),0)
STAGED := $(if $(filter run test check bench setup,$(MAKECMDGOALS)),$(shell tools/stage.sh))
endif
ifneq ($(STAGED),)
run test check bench setup:
	@echo "Apache's user can't read $(CURDIR): working in $(STAGED)"
	@$(MAKE) --no-print-directory -C $(STAGED) $@
else

.PHONY: help setup run demo test check format bench pictures generated clean

help:
	@echo 'make run     a real Apache with the dashboard at http://127.0.0.1:8000/metrics/ (PORT=)'
	@echo 'make demo    the dashboard on a simulated Apache at http://127.0.0.1:8765/ (ARGS=)'
	@echo 'make test    all tests: real Apache, real Chromium (ARGS= goes to pytest)'
	@echo 'make check   ruff, mypy --strict, tsc'
	@echo 'make bench   the benchmarks'
	@echo 'make pictures   the pictures of docs/pictures'
	@echo 'make generated  apache/*.conf and docs/troubleshooting.md, from what the commands know'
	@echo 'make setup   all that these need; make clean removes it'

setup: $(VENV)/.test

run: $(VENV)/.run
	@tools/run.sh $(ARGS)

demo: $(VENV)/.demo
	@$(BIN)/mod_wsgi-dashboard demo $(ARGS)

test: $(VENV)/.test $(VENV)/.oldest
	$(NPM) test
	@tools/test.sh $(ARGS)
	PYTHONPATH=$(OLDEST) $(BIN)/pytest -q tests/test_clients.py tests/test_hub.py

check: $(VENV)/.test
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(NPM) run check

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

pictures: $(VENV)/.test
	$(BIN)/python -m tools.pictures

generated: $(VENV)/.demo
	$(BIN)/python -m tools.apache_files
	$(BIN)/python -m tools.troubleshooting

clean:
	rm -rf $(VENV) run artifacts $(FRONTEND)/node_modules src/mod_wsgi_dashboard/_web

# Each stamp is what the command of its name needs, and stands on the one before it. The package is
# installed in place; its build hook builds the page.
$(VENV)/.demo: pyproject.toml requirements.lock hatch_build.py $(PAGE)
	@tools/require.sh demo
	@test -x $(BIN)/pip || { echo 'Making a virtual environment'; $(PYTHON) -m venv --clear $(VENV); }
	@echo 'Installing the package, and building its page'
	@$(PIP) -e .
	@touch $@

$(VENV)/.run: $(VENV)/.demo
	@tools/require.sh run
	@echo 'Building mod_wsgi for this Apache'
	@# No cache: pip would take a module that was linked to another Python of the same version.
	@$(PIP) --no-cache-dir --use-pep517 mod_wsgi
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@tools/require.sh test
	@echo 'Installing what tests and checks need'
	@$(PIP) -e '.[apache,lint,test,top]'
	@$(NPM) ci --ignore-scripts
	@tools/unpack.sh $(VENV)/debian prometheus prometheus-apache-exporter
	@touch $@

# The fan-out stands on a few public calls of aiohttp: they are tried on the oldest one allowed, too.
$(VENV)/.oldest: $(VENV)/.test
	@rm -rf $(OLDEST)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install -q --target $(OLDEST) \
	    $$(sed -n 's/^dependencies = \[\(.*\)\]/\1/p' pyproject.toml | tr -d '",' | sed 's/>=/==/g')
	@touch $@

endif
