"""Networks of containers: bridges of this host, leases of their addresses, published ports, names."""
