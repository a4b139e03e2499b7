"""What the embedded cluster's objects must be like and what becomes of them: pure functions over manifests."""
