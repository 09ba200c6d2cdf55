"""How what engines tell of their prefix caches reaches a gateway: vLLM's wire format over ZeroMQ."""
