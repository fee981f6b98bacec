"""A NIC's way from its tap to the network: made, plugged, looked at.

``bridge`` is the provider's network on a Linux bridge ``brq…``; ``hostbridge`` a network without a provider; ``links``
talks to the kernel; ``evidence`` says what is missing, in words.
"""

from __future__ import annotations


class Unwirable(Exception):
    """This host cannot carry the NIC, and waiting would not help: says what, and what to do."""
