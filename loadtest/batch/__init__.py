"""Plain offline inference: files of OpenAI's batch lines in, files of their answers out, each line exactly once."""
