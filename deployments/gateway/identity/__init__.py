"""Who asks: tenants and operators by their keys, and the client behind trusted proxies."""
