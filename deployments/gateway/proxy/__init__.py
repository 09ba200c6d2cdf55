"""What happens between a prepared request and its answer: whose turn it is, how long it may take, what is retried."""
