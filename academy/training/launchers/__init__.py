"""Starting the trainer: as a process of this host, or in a container (the GPU habitat)."""
