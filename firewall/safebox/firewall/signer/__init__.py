"""The process that holds the keys, and how the firewall talks to it.

Rule 1: it signs what a record of the ledger allows, and reads the ledger itself; nobody's word is taken for it.
Rule 2: the record is in the hash chain and under a checkpoint that the ledger's notary signed.
Rule 3: what is signed is read from the very bytes, and is field by field what was recorded and decided.
Rule 4: a nonce is signed for one payload; only what takes nothing more may replace it.
Rule 5: what it has signed is on disk before anybody has it. Whatever fails is a no.
"""
