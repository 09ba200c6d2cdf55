"""Tests in which requests arrive on a schedule: LoadGen's Server and Interactive, and Poisson arrivals of our own."""
