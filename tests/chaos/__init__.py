"""Kills at random instants and inputs that are broken at random: what a stranger's computer does.

``python -m chaos --help``, with ``tests`` on the path; ``make chaos`` runs it.
"""
