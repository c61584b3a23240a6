"""The store: bytes by digest, rows after bytes, leases by lock; and how it is checked, mended, measured and emptied."""
