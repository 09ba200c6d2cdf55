"""Traces as real HTTP load on a live fleet: an open loop, in which requests leave at their times, come what may."""
