"""A small data centre on one machine, for the quick start and the end-to-end tests.

One *control* container runs Neutron with what it needs; two *hosts* are bare Debian systems that only
answer SSH. All of it lives in network namespaces, containers and directories whose names carry the lab's
identifier, so that `lab down` can find and remove every trace, and several labs can run side by side.

Start reading at `lab.lab.Lab`; the command line is `lab.cli`.
"""
