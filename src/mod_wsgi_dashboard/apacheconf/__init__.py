"""Apache configuration: read, written and diagnosed."""
