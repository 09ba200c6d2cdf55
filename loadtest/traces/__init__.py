"""Traces of requests, from files and from generators: what the simulator plays and what is replayed over HTTP."""
