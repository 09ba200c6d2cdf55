"""Media that requests name by URL: the gateway fetches them, from public addresses only."""
