"""Starting a trainer: as a process of this host, or in a container (the GPU habitat).

What it is to train is not known here.
"""
