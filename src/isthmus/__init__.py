"""Isthmus: an oVirt-compatible virtualization engine whose networks come from outside."""

__version__ = "0.1.0"
