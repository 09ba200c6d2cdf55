"""How long a body would occupy an engine's API server, whose one event loop reads and tokenises everyone's.

Measured with vLLM's own server and the embedded checkpoints (docs/decisions.md). What stays within the limits of this
package occupies it for less than a second; what does not is refused, and the refusal says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from deployments.gateway.preparation.engine_work.arguments import check_arguments
from deployments.gateway.preparation.engine_work.constraints import check_constraints
from deployments.gateway.preparation.engine_work.messages import check_messages
from deployments.gateway.preparation.engine_work.nodes import check_nodes
from deployments.gateway.preparation.engine_work.rendering import check_rendering
from deployments.gateway.preparation.engine_work.sequences import check_sequences
from deployments.gateway.preparation.engine_work.tokenising import TOKENISE_S, tokenise_as_engines_do
from deployments.gateway.preparation.engine_work.values import SMALL_BYTES, check_values

__all__ = ["TOKENISE_S", "check_body", "check_nodes", "check_rendering", "tokenise_as_engines_do"]


def check_body(body: Mapping[str, Any], size: float = inf) -> None:
    """Raises ApiError 400 where an engine's server would take too long for a body, however its prompt is rendered.

    `size`: its bytes as JSON.
    """
    check_messages(body)
    check_arguments(body)
    if size > SMALL_BYTES:
        check_values(body)
    check_sequences(body)
    check_constraints(body)
