"""`make demo`: a newcomer watches a real Kubernetes refuse to train on data that nobody vouches for."""
