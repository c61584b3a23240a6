"""Rows of words below one another."""


def columns(rows: list[tuple[str, ...]]) -> str:
    """Each column as wide as its widest word."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)
