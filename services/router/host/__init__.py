"""matrix-router: what runs on the manager for the router, with nothing but Python's standard library."""
