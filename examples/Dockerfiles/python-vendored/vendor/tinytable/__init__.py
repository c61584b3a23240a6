"""Text tables, small enough to carry along."""


def table(rows):
    """Lines of `rows` with their columns aligned; numbers go to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    for row in rows:
        cells = (cell.rjust(w) if cell.isdigit() else cell.ljust(w) for cell, w in zip(row, widths))
        yield "  ".join(cells).rstrip()
