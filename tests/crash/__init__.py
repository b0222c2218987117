"""The crash harness: a firewall under mixed load, killed with SIGKILL again and again, and looked at from outside.

The world outlives the firewall: a chain, a mail relay and a model in processes of their own, sandboxes that are kept by
their keepers, listeners that are kept by whoever loads it. After each kill and at the end what the world holds, what
clients were told and what the ledger says are held against each other (`checks`).
"""
