"""A virtual model behind vLLM's HTTP contract: for tests, faults and scale without a model."""

from deployments.engine.fake.backend import FakeBackend

__all__ = ["FakeBackend"]
