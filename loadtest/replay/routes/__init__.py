"""OpenAI's routes, and how a request of a trace is asked on each."""
