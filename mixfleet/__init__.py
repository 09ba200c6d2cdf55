"""One command over all packages. It imports them; none of them imports it."""
