"""One Serve deployment per (model, pool); each replica supervises one engine process."""
