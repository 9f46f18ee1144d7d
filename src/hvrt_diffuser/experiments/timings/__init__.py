"""Times of a finished run: ``python -m hvrt_diffuser.experiments.timings`` measures them all."""
