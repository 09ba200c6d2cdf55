"""How the two toys were trained. Run by hand; nothing else imports this package."""
