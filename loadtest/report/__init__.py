"""Results for people: a table in the terminal and a page."""
