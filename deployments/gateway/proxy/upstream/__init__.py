"""The gateway's connections to replicas."""
