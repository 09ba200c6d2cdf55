"""Clients' bytes become requests here: what may take long runs in worker processes that can be killed."""
