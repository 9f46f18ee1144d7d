"""Measurements that take minutes: ``python -m hvrt_diffuser.benchmarks`` runs them all."""
