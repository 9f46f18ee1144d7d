"""What it takes to go past one process and one memory: a module for each measurement."""
