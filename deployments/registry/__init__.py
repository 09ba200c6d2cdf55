"""Who is there: replicas and gateways report themselves, and gateways follow the list. No participant can stop another.

All of it travels on ZeroMQ sockets of the registry's own, encrypted and open to the fleet's processes alone. Senders
never wait for receivers. Serve starts, places and health-checks the registry, and carries none of its messages.
"""
