"""Print the cities of a CSV file, the largest first."""

import csv
import sys

from tinytable import table


def main(path):
    with open(path, newline="", encoding="utf-8") as lines:
        head, *rows = csv.reader(lines)
    rows.sort(key=lambda row: int(row[1]), reverse=True)
    for line in table([head, *rows]):
        print(line)


main(sys.argv[1])
