"""Containers of bundles, as the OCI runtime-spec has them: what `pybuild oci` and `pybuild-oci-runtime` are made of."""
