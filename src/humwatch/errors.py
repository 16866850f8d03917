"""The one exception that is meant for a person."""


class InputError(ValueError):
    """Bad input: one sentence that names the file or key, what is wrong, and what to do.

    Command lines print it without a traceback and exit with code 1.
    """


def damaged(path: object, why: object, delete: object = None) -> str:
    """The sentence for a file of ours that is not what was written. delete: what to delete, the file unless given."""
    what = "it" if delete is None else delete
    return f"{path} is damaged ({why}): delete {what} and run `snakemake` again"
