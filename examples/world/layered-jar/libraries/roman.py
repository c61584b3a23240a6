"""Roman numerals."""


def roman(number: int) -> str:
    """A number from 1 to 39."""
    return "X" * (number // 10) + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[number % 10]
