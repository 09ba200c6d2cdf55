"""The process beside an engine that reports what is in its prefix cache, in keys that say nothing of the tokens.

A process of its own: an engine at work publishes some thousand blocks a second, and the supervisor shares its event
loop with Serve.
"""
