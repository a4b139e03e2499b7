"""The embedded cluster's API server: from requests to the store and back."""
