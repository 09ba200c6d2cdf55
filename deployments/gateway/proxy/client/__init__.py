"""A stream on its way to the client."""
