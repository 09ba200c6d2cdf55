"""The schema of the fleet file."""

from cluster.fleet.access import EngineTls, KeyHolder, Limits, Operator, Tenant
from cluster.fleet.base import AbsolutePath, ModelName, Name, Strict
from cluster.fleet.cors import Cors
from cluster.fleet.gateway import AnswerTimeLimits, Gateway, RouteTimeLimits, TimeLimits
from cluster.fleet.models import OWNED_FLAGS, Autoscaling, FakeEngine, FlagValue, Model, Pool, Task, deployment_name
from cluster.fleet.schema import Fleet

__all__ = [
    "OWNED_FLAGS",
    "AbsolutePath",
    "AnswerTimeLimits",
    "Autoscaling",
    "Cors",
    "EngineTls",
    "FakeEngine",
    "FlagValue",
    "Fleet",
    "Gateway",
    "KeyHolder",
    "Limits",
    "Model",
    "ModelName",
    "Name",
    "Operator",
    "Pool",
    "RouteTimeLimits",
    "Strict",
    "Task",
    "Tenant",
    "TimeLimits",
    "deployment_name",
]
