"""A real single-node Kubernetes on this machine, from pinned source, that leaves nothing behind."""
