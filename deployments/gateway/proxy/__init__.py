"""A prepared request becomes an answer: attempts on replicas, their streams, and recovery from their failures."""
