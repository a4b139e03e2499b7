"""The embedded cluster: a Kubernetes API with its controllers and one node, inside this process."""
