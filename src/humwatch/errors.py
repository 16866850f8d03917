"""The one exception that is meant for a person, and how its sentences show values."""

import math
import reprlib


class InputError(ValueError):
    """Bad input: one sentence that names the file or key, what is wrong, and what to do.

    Command lines print it without a traceback and end with exit code 1.
    """


def damaged(path: object, why: object, delete: object = None) -> str:
    """The sentence for a file that is not as humwatch wrote it.

    Parameters
    ----------
    path
        The file.
    why
        How that is known.
    delete
        What to delete; the file unless given.
    """
    what = "it" if delete is None else delete
    return f"{path} is damaged ({why}): delete {what} and run `snakemake` again"


def shown(value: object) -> str:
    """A value as Python writes it, shortened where it is long."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python writes no number of thousands of digits.
        return repr(x) if abs(x) < 10**20 else f"{'-' if x < 0 else ''}10^{math.log10(abs(x)):.0f} or so"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlist = _SHORT.maxdict = 4
_SHORT.maxlevel = 3
