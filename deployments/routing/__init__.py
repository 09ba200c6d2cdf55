"""Which replica serves a request. Pure Python: imports neither Ray nor HTTP nor vLLM."""

from deployments.routing.policy import POLICIES, Policy, make_policy
from deployments.routing.replica import Booking, Replica
from deployments.routing.work import Work, audio_work, text_work

__all__ = ["POLICIES", "Booking", "Policy", "Replica", "Work", "audio_work", "make_policy", "text_work"]
