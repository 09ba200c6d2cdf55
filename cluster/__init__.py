"""Where things run: the fleet file, the vendors, placement and checkpoints. Knows nothing of HTTP or of benchmarks."""
