"""Pure detectors: what an outgoing payload carries of the run itself, of secrets, and of money-seeking.

Bytes in, values out. Nothing here has a clock, a socket, a file, an environment or randomness, and every loop is
bounded by named constants: work is counted in bytes, streams and tokens, never in seconds, so the same payload gives
the same answer on every machine.
"""
