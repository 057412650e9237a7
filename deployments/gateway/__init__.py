"""The gateway: answers live requests in its own process, from a snapshot, whatever happens to the database."""
