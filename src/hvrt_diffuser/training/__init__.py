"""How networks are trained: the loop, averages of weights, and checkpoints."""
