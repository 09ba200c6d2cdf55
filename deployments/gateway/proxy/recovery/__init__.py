"""What is done about a replica that fails: retries, ejection, health checks."""
