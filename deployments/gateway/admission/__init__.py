"""Who may be served now: limits of tenants, and each model's queue, which is fair between them."""
