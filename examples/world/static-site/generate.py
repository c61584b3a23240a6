"""generate.py TEXTS PAGES TITLE: a page for each text, and a list of them."""

import os
import sys

texts, pages, title = sys.argv[1:]
names = sorted(name[:-4] for name in os.listdir(texts))
for name in names:
    with open(f"{texts}/{name}.txt") as text, open(f"{pages}/{name}.html", "w") as page:
        page.write(f"<title>{name}, {title}</title>\n<p>{text.read().strip()}</p>\n")
with open(f"{pages}/index.html", "w") as page:
    page.write(f"<title>{title}</title>\n" + "".join(f'<a href="{name}.html">{name}</a>\n' for name in names))
