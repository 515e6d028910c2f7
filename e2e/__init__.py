"""What the end-to-end tests and the demo run on: pinned tools, a real cluster, images, a private Sigstore."""
