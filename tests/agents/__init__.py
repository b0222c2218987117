"""The red team and the benign agents, run for real, and what the world says about them."""
