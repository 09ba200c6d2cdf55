"""`python -m tests.support.long_quick SAMPLES BENCHMARK ...`: a quick run of more samples than the usual one."""

import sys

from loadtest.benchmarks import benchmark
from loadtest.offline import main

if __name__ == "__main__":
    samples, name, *options = sys.argv[1:]
    type(benchmark(name)).quick_samples = int(samples)
    sys.argv[1:] = ["--benchmark", name, *options]
    sys.exit(main())
