"""The quick start: two VMs get their network from a real Neutron, in front of the user's eyes.

It is the example too: everything is done through the engine's API with oVirt's own Python SDK, one file a noun, in the
order ``provider``, ``network``, ``hosts``, ``vms``. What the user would look up elsewhere is looked up there: Neutron's
view in Neutron's API, a host's view on the host. It may run again on the same lab, and goes on from what it finds.
"""
