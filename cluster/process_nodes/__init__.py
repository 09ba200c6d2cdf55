"""A Ray node provider whose nodes are processes on this machine, so that `ray up` is the same here as on a cloud.

Autoscaler, node types, labels, start commands and placement are Ray's own; only a node's machine is a folder, an
address of the loopback network and a name in the environment of its processes. Linux only: it reads /proc, and
127.0.0.0/8 is all loopback there.
"""
