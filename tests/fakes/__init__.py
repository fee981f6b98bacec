"""Other sides that can be made to misbehave. Never shipped, and never instead of a test against the real one."""
