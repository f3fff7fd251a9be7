"""The verdict on a statement, from what the code before it computed.

Pages end the evidence of each claim that code decides with one of these calls, so that a verdict
cannot stand where its computation says another. What the words mean is on the page of claims.
"""


def verdict(
    *,
    as_stated: object,
    under_condition: object = False,
    mended: object = False,
) -> str:
    """Return the verdict on a statement.

    Args:
        as_stated: Whether the statement is true as it stands, in its context.
        under_condition: Whether it is true under a condition that it leaves out.
        mended: Whether it is true once a word or a symbol is mended, and whoever follows the
            idea gets the right result.

    Returns:
        `holds`, else `conditional`, else `imprecise`, else `refuted`.

    Raises:
        ValueError: If an argument that is looked at is an array of several entries.

    Example:
        >>> verdict(as_stated=2 + 2 == 5)
        'refuted'
        >>> verdict(as_stated=2 + 2 == 5, mended=2 + 2 == 4)
        'imprecise'
    """
    if bool(as_stated):
        return "holds"
    if bool(under_condition):
        return "conditional"
    return "imprecise" if bool(mended) else "refuted"


def code_verdict(*, runs: object, agrees: object, repaired_agrees: object = False) -> str:
    """Return the verdict on code.

    Args:
        runs: Whether the code runs as it stands.
        agrees: Whether it then computes what it says.
        repaired_agrees: Whether the repaired code does.

    Returns:
        `holds` for code that runs and agrees, else `buggy`.

    Raises:
        ValueError: If the repaired code does not agree either, or an argument that is looked at
            is an array of several entries.

    Example:
        >>> code_verdict(runs=True, agrees=False, repaired_agrees=True)
        'buggy'
    """
    if bool(runs) and bool(agrees):
        return "holds"
    if not bool(repaired_agrees):
        raise ValueError("repaired_agrees is False: show a repair that computes what is claimed")
    return "buggy"
