"""The refusal of a results directory.

In: nothing. Out: the exception of analysis/. Owns nothing.
"""


class ResultsError(ValueError):
    """A results directory that cannot be read; the message names the file, the value and the remedy."""
