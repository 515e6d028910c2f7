"""A private Sigstore on loopback, so that keyless signing is tested against the real services and nothing leaves the
machine: Fulcio, Rekor (tiles), a timestamp authority, a certificate transparency log and a test OIDC issuer.

Trust is anchored in keys below the state folder. They survive restarts, so a bundle that was signed yesterday verifies
today. The keys are worth nothing outside a test.
"""
