"""Small servers that stand in for the real world, each in a process of its own and plainly labelled.

They speak the real protocols (JSON-RPC, SMTP, OpenAI HTTP), so connectors can't tell them apart by code
path: the real thing is another URL. No stand-in decides anything, and none weakens a law.
"""
