"""A provider to test against. Never imported by the gateway itself."""
