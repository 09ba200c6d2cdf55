# Each target makes the environment first if it is missing. `make demo` and `make test` are all a fresh machine needs.
ENV := .venv
PYTHON := $(ENV)/bin/python
READY := $(ENV)/ready

# The demo, the tests and the benchmarks start their own Ray.
unexport RAY_ADDRESS

# Images often set this. Then each of our many processes compiles PyTorch, vLLM and Ray again, for 6 s of a core.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all test-rest unit soak coverage lint bench bench-mlperf clean

demo: $(READY)
	$(PYTHON) -m loadtest.demo

test: $(READY)
	$(PYTHON) -m tests test

test-all: $(READY)
	$(PYTHON) -m tests all

test-rest: $(READY)
	$(PYTHON) -m tests rest

unit: $(READY)
	$(PYTHON) -m tests unit

soak: $(READY)
	$(PYTHON) -m tests soak

# Branches over all processes. It takes twice as long as `make test`, whose tests it runs; the floor is in pyproject.toml.
coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage
	$(PYTHON) -m coverage run -m tests test; status=$$?; \
	$(PYTHON) -m coverage combine --quiet && $(PYTHON) -m coverage html --quiet && $(PYTHON) -m coverage report && exit $$status

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
