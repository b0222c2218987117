"""A whole firewall on nothing but memory and one temporary folder, and what is tried on it.

The path is the real one, from the bytes of a request to the ledger's file and the signature; only the far sides are
here: a chain, a provider of containers, a relay and a model that keep what reaches them. So what an attack came to is
counted in the world, not believed of an answer.

`stage.py` puts it together, `catalogue/` holds the attacks and their harmless neighbours, `play.py` tries them all.
"""
