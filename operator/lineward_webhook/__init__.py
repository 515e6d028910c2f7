"""The admission webhook: decides on pods from what it has verified itself."""
