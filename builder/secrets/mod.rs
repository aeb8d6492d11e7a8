//! Secrets: `secrets.toml` → typed values → the bundle in the secrets partition; and the scan of outputs for them.
