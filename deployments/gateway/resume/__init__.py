"""Streams that outlive their replica: another continues from the prompt's and the emitted token ids."""

from deployments.gateway.resume.conditions import NotExact, why_not
from deployments.gateway.resume.continuation import Continuation, Follower
from deployments.gateway.resume.emitted import ask_for_ids

__all__ = ["Continuation", "Follower", "NotExact", "ask_for_ids", "why_not"]
