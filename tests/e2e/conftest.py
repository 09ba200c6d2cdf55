"""What tests with real engines share."""

from deployments.engine.native_libraries import mend

mend()  # before transformers, the reference of some, is imported anywhere
