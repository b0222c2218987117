"""Sandboxes for agents, and the command line that starts them."""
