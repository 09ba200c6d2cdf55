"""One request: its context, and what is read of its headers, fields and body."""
