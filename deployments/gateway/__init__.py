"""The HTTP face: OpenAI's routes, admission, forwarding, retries."""
