"""Names as their owners have them, and the form of them that is safe below results/<name>.

Users' names never reach a shell, a Snakemake pattern or a path as they are: their `slug` does. Tables state the names themselves.
"""

import hashlib
import re
import urllib.parse

LONGEST = 80
# Snakemake takes a name that ends in 20 repetitions for a wildcard that matches without end.
PERIODIC = re.compile(r"(.+?)\1{19,}$")


def slug(name: str) -> str:
    """The form of a name that is safe in paths, patterns and command lines; no two names share one.

    ASCII letters, digits and `_.-~+` stay, other bytes of its UTF-8 become =XX, as a leading dot, dash or tilde does: the escapes
    of URLs, with a sign that Slurm does not replace in names of files. Long or periodic names end in a checksum.
    """
    quoted = urllib.parse.quote(name, safe="+").replace("%", "=")
    if quoted[:1] in (".", "-", "~"):
        quoted = f"={ord(quoted[0]):02X}{quoted[1:]}"
    if len(quoted) > LONGEST or PERIODIC.search(quoted):
        quoted = f"{quoted[:20]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return quoted


def readable(text: str) -> str:
    """A text with slugs in it, as a person would write it."""
    return urllib.parse.unquote(text.replace("=", "%"))
