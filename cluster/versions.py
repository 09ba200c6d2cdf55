"""What runs on every node in one version, whoever installs it."""

RAY = "2.60.0"
VLLM = "0.32.0"
