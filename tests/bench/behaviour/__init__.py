"""What the behaviour detectors find, and what they take wrongly for an attack: `make behaviour-bench`."""
