"""The one exception a user meets when an input, a parameter or a file cannot be used."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence: what was found, what was expected and what to do. The command
    line prints it alone, without a traceback.
    """
