"""The embedded cluster's controllers: each brings the store's objects to rest, and knows only the store."""
