"""From a prepared request to what the router chooses by and how its answer is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployments.gateway.directory import Served
from deployments.gateway.requests import Parsed
from deployments.gateway.resume import Follower
from deployments.gateway.routes import Route
from deployments.gateway.tenants import Tenant
from deployments.gateway.usage import AnswerUsage
from deployments.gateway.wishes import Wishes


@dataclass(frozen=True)
class Plan:
    """Attributes:
    parsed: the request with its keys and wishes, and the body as it is sent on.
    usage: reads the answer.
    unkeyed: why the router cannot look for its prefix; '' where it can.
    follower: follows a stream that another replica could continue; None where none could.
    unfollowed: why that is so; '' where it is followed, or is no stream.
    """

    parsed: Parsed
    usage: AnswerUsage
    unkeyed: str = ""
    follower: Follower | None = None
    unfollowed: str = ""


def plan(parsed: Parsed, route: Route, served: Served, tenant: Tenant, wishes: Wishes, arrived: float) -> Plan:
    """`arrived`: on the router's clock."""
    asked = replace(
        parsed.request,
        # Two tenants may use the same word for their sessions.
        session=f"{tenant.salt}:{wishes.session}" if wishes.session else None,
        priority=wishes.priority,
        deadline=None if wishes.deadline_s is None else arrived + wishes.deadline_s,
    )
    made = parsed.prepared
    if made is None:
        return Plan(replace(parsed, request=asked), AnswerUsage())
    if route.unit is None:
        return Plan(replace(parsed, request=replace(asked, tokens=0)), AnswerUsage())
    follower = None
    if made.resume_fields is not None:
        follower = Follower(route.path, made.resume_fields, served.model, include_usage=made.usage_hidden)
    keys = served.router.index.prompt_keys(made.prompt, made.salt) if made.prompt else ()
    asked = replace(asked, tokens=made.tokens, keys=keys, image_tokens=made.image_tokens)
    usage = AnswerUsage(made.usage_hidden)
    return Plan(replace(parsed, request=asked), usage, made.unkeyed, follower, made.unfollowed)
