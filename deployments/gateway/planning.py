"""From a prepared request to what the router chooses by and how its answer is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployments.gateway.directory import Served
from deployments.gateway.proxy.charging import Work
from deployments.gateway.requests import Parsed
from deployments.gateway.resume import Follower
from deployments.gateway.routes import Route
from deployments.gateway.tenants import Tenant
from deployments.gateway.usage import AnswerUsage
from deployments.gateway.wishes import Wishes
from deployments.routing.keys import prompt_keys


@dataclass(frozen=True)
class Plan:
    """Attributes:
    parsed: the request with its keys and wishes, and the body as it is sent on.
    usage: reads the answer.
    unkeyed: why the router cannot look for its prefix; '' where it can.
    follower: follows a stream that another replica could continue; None where none could.
    unfollowed: why that is so; '' where it is followed, or is no stream.
    tenant: who asks. work: what engines do for it, to charge.
    """

    parsed: Parsed
    usage: AnswerUsage
    tenant: Tenant
    work: Work
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
        return Plan(replace(parsed, request=asked), AnswerUsage(), tenant, Work(asked.tokens))
    if route.unit is None:
        free = replace(asked, tokens=0, sequences=1)
        return Plan(replace(parsed, request=free), AnswerUsage(), tenant, Work(0))
    follower = None
    if made.resume_fields is not None:
        follower = Follower(route.path, made.resume_fields, served.model, include_usage=made.usage_hidden)
    keys = prompt_keys(made.prompt, served.router.index.root(made.salt)) if made.prompt else ()
    asked = replace(asked, tokens=made.tokens, keys=keys, image_tokens=made.image_tokens)
    usage = AnswerUsage(made.usage_hidden)
    work = Work(made.tokens, made.sequences, made.allowed_tokens)
    return Plan(replace(parsed, request=asked), usage, tenant, work, made.unkeyed, follower, made.unfollowed)
