"""The benchmarks' data sets: official ones held against what is known of them, and small ones of their formats."""
