"""Runs programs that a model wrote: no network, no files of this machine, no other processes, and limits on the rest.

`Sandbox` (sandbox.py) starts one process a program. That process locks itself in (confinement.py, syscalls.py), proves
it (trial.py), and then runs the program on one input after the other (jail.py, program.py). Outputs are judged outside:
a program never learns what was expected.
"""
