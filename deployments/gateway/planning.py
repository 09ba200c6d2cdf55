"""From what a client sent to what the router chooses by and what a replica is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployments.gateway.directory import Served
from deployments.gateway.prompts import Prompts
from deployments.gateway.requests import Parsed
from deployments.gateway.resume import Follower, ask_for_ids, why_not
from deployments.gateway.routes import Route
from deployments.gateway.tenants import Tenant
from deployments.gateway.usage import AnswerUsage, ask_for_usage
from deployments.gateway.wishes import Wishes
from deployments.routing.keys import prompt_keys

REPORTING = ("/v1/chat/completions", "/v1/completions")
"""Routes whose streams report their usage only where they are asked to."""


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


async def plan(
    parsed: Parsed,
    route: Route,
    served: Served,
    tenant: Tenant,
    wishes: Wishes,
    arrived: float,
    prompts: Prompts,
    resumes: bool = True,
) -> Plan:
    """`arrived`: on the router's clock. `resumes`: whether streams are followed. Raises ApiError 400 for media that
    cannot be told apart."""
    asked = replace(
        parsed.request,
        # Two tenants may use the same word for their sessions.
        session=f"{tenant.salt}:{wishes.session}" if wishes.session else None,
        priority=wishes.priority,
        deadline=None if wishes.deadline_s is None else arrived + wishes.deadline_s,
    )
    if parsed.fields is None:
        return Plan(replace(parsed, request=asked), AnswerUsage())
    if route.unit is None:
        return Plan(replace(parsed, request=replace(asked, tokens=0)), AnswerUsage())
    renderer, checkpoint, revision = served.prompts_by()
    made = await prompts.prepare(
        route.path, parsed.fields, parsed.raw, renderer, checkpoint, tenant.salt, revision=revision
    )
    sent, hidden = ask_for_usage(made.body, parsed.fields) if route.path in REPORTING else (made.body, False)
    follower, unfollowed = None, ""
    if parsed.request.streams:
        unfollowed = why_not(route.path, parsed.fields) if resumes else "streams are not followed"
        if not unfollowed:
            sent = ask_for_ids(sent, parsed.fields)
            follower = Follower(route.path, parsed.fields, served.model, include_usage=hidden)
    keys = prompt_keys(made.prompt, served.router.index.root(made.salt)) if made.prompt else ()
    asked = replace(asked, tokens=made.prompt_tokens, keys=keys, image_tokens=made.image_tokens)
    answered = replace(parsed, request=asked, body=lambda: sent, length=len(sent))
    return Plan(answered, AnswerUsage(hidden), made.reason, follower, unfollowed)
