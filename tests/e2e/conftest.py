"""What tests with real engines share."""

import sys

from cluster.native_libraries import mend

# Transformers, the reference of some of them, looks once for what is there: by then it must be mended. `make test` and
# `pytest tests` collect these tests first.
assert "transformers" not in sys.modules, "collect tests/e2e before other tests: pytest tests/e2e tests/integration"
mend()
