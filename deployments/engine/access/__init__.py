"""Who may talk to an engine: one rule for both kinds of server, the fleet's key on the routes that the fleet uses."""
