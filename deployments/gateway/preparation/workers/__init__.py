"""Processes in which clients' bytes are parsed, each within limits of time and memory."""
