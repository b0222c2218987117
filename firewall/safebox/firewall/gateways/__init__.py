"""Gateways: each speaks one protocol to a sandbox and turns it into calls. They translate; they never decide."""
