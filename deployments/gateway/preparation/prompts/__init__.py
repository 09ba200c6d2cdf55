"""A request's prompt for the router, and the body for the engine: salted, with media identities of our own."""

from deployments.gateway.preparation.prompts.preparing import Prepared, Prompts, prepare_prompt

__all__ = ["Prepared", "Prompts", "prepare_prompt"]
