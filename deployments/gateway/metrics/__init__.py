"""The gateway's Prometheus metrics, of one process and of all of a node."""
