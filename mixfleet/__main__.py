"""`python -m mixfleet COMMAND`: the command `mixfleet` where its script is not on the PATH."""

from __future__ import annotations

from mixfleet.cli import main

if __name__ == "__main__":
    main()
