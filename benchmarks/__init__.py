"""What a VM start costs, against the floor and against oVirt's way; see ``__main__``."""
