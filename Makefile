# Each target makes the environment first if it is missing. `make demo` and `make test` are all a fresh machine needs.
ENV := .venv
PYTHON := $(ENV)/bin/python
READY := $(ENV)/ready

# The demo, the tests and the benchmarks start their own Ray.
unexport RAY_ADDRESS

.PHONY: demo test unit lint bench bench-mlperf clean

demo: $(READY)
	$(PYTHON) -m loadtest.demo

test: unit
	$(PYTHON) -m pytest tests/e2e tests/integration

unit: $(READY)
	$(PYTHON) -m pytest --numprocesses auto --dist loadfile tests/unit

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(READY)
	$(PYTHON) -m tests.bench

bench-mlperf: $(READY)
	$(PYTHON) -m tests.bench mlperf

clean:
	rm -rf $(ENV) build results .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(READY): pyproject.toml $(wildcard constraints/embedded-*.txt) constraints/installers.txt scripts/environment.sh scripts/uv_settings.py
	scripts/environment.sh $(ENV) embedded
	touch $@
