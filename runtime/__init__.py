"""The machine: devices and arithmetic, processes, compiling, memory, seeds, disk."""
