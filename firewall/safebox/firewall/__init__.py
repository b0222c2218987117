"""The policy firewall every action of a sandboxed agent passes through."""
