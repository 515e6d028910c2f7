"""The admission webhook: gathers what a decision needs, asks the pure domain, applies its answer."""
