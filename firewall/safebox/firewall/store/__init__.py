"""Durable storage of the ledger, and what reads it without a firewall."""
