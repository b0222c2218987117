"""The control socket: how launchers, commands and the kill switch speak to a firewall."""
