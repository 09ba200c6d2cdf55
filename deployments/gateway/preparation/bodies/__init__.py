"""Bodies: received within a budget of bytes, decoded, and read by their form."""
