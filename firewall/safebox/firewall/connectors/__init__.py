"""Connectors: each performs one kind of effect over a real protocol. They translate; they never decide."""
