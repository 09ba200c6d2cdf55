"""A node's gateway processes: started, watched, replaced and told who is there, without Ray."""
