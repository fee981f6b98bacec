"""The protocol between the engine and the agent on each host: ``agent.proto``, and what is made from it."""

PROTOCOL = 1
"""Grows when the two sides would no longer understand each other; ``Hello`` compares it."""
