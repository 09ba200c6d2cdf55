"""Errors as OpenAI's API has them: our own, those of engines, and those of the HTTP server."""
