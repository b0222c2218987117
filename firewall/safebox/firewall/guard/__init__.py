"""What keeps a stalled firewall from staying one: a watchdog, the mark it leaves, and who is held to account."""
