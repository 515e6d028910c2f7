"""The operator: keeps status, certificates and runs true; never on the admission path."""
