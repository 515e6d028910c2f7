"""The outside world behind small interfaces: files, keys, Sigstore, the Kubernetes API."""
