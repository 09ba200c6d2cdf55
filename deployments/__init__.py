"""How requests are served. `serve run deployments:app` starts here; importing this starts nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployments.app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    """Imports the application, and with it Ray, only when it is asked for: engines and tests do without."""
    if name == "app":
        from deployments.app import app

        return app
    raise AttributeError(f"module 'deployments' has no attribute '{name}'")
