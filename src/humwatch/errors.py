"""The one exception that is meant for a person."""


class InputError(ValueError):
    """Bad input: one sentence that names the file or key, what is wrong, and what to do.

    Command lines print it without a traceback and exit with code 1.
    """
