"""Where something stands in the text that the user wrote.

Lines and columns count from 1, columns in characters; the end is exclusive. A span carries
the text it points into, so whoever holds one (a plan step, a warning, an error) can show
the excerpt without asking anybody else.
"""

from layers.quick import dataclass, field


@dataclass(frozen=True, slots=True)
class Text:
    """A named text, cut into physical lines without their line ends."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From (line, column) up to, not including, (end_line, end_column)."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: Text | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """`name:line:column`, the form that editors and terminals make clickable."""
        return f"{self.text.name if self.text else 'Dockerfile'}:{self.line}:{self.column}"

    @property
    def place(self) -> str:
        """`name:line`; "" if no text was the origin."""
        return f"{self.text.name}:{self.line}" if self.text else ""

    def to(self, end: "Span") -> "Span":
        """The span from the start of this one to the end of another."""
        return Span(self.line, self.column, end.end_line, end.end_column, self.text)

    def excerpt(self, *, limit: int = 4) -> str:
        """The lines pointed at, numbered, with carets below the marked columns; "" without a text.

        At most `limit` lines are shown; tabs count as one column, in the line and below it.
        """
        if self.text is None:
            return ""
        width = len(str(self.end_line))
        shown: list[str] = []
        for number in range(self.line, min(self.end_line, self.line + limit - 1) + 1):
            line = self.text.lines[number - 1] if number <= len(self.text.lines) else ""
            start = self.column - 1 if number == self.line else len(line) - len(line.lstrip())
            end = self.end_column - 1 if number == self.end_line else len(line)
            marks = "^" * max(min(end, len(line)) - start, 1)
            shown.append(f"{number:>{width}} | {_visible(line)}".rstrip())
            shown.append(f"{'':>{width}} | {' ' * start}{marks}")
        if self.end_line >= self.line + limit:
            shown.append(f"{'':>{width}} | …")
        return "\n".join(shown)


NOWHERE = Span(1, 1, 1, 1)
"""The span of values that no text was the origin of (ONBUILD of a base image, tests)."""


def _visible(line: str) -> str:
    """The line with every control character as one harmless column: terminals obey no Dockerfile."""
    return "".join(" " if char == "\t" else char if char.isprintable() else "�" for char in line)
