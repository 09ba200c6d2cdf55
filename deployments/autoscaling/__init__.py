"""How many replicas each pool of a model should have. Pure Python: imports neither Ray nor HTTP nor vLLM."""

from deployments.autoscaling.scaler import PoolLoad, PoolSize, Scaler, sizes_of

__all__ = ["PoolLoad", "PoolSize", "Scaler", "sizes_of"]
