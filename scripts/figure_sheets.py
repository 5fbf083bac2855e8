"""Draw ``docs/figures.png`` and ``docs/scenes.png``: one group a row, the base first, each edit named.

python scripts/figure_sheets.py [--rows 10] [--out docs]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import load_font
from negmine.stages.figures.group import Group, make_group
from negmine.stages.figures.settings import GroupSettings
from PIL import Image, ImageDraw

SIZE, GAP, HEAD, TAIL, COLUMNS = 192, 8, 22, 36, 6
FILES = {"geometry": "figures.png", "scenes": "scenes.png"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    for name, file in FILES.items():
        domain, groups = DOMAINS[name], []
        for row in range(options.rows):
            level = 1 + row * 5 // options.rows
            settings = GroupSettings(name, level=level, negatives=COLUMNS - 1, size=SIZE, seed=options.seed)
            groups.append(make_group(domain, settings, row))
        sheet(groups).save(options.out / file, optimize=True)


def sheet(groups: list[Group]) -> Image.Image:
    """Members side by side, the edit above each, the base's caption below the row."""
    tall = HEAD + SIZE + TAIL
    page = Image.new("RGB", (COLUMNS * (SIZE + GAP) + GAP, len(groups) * tall + GAP), "#e8e8e8")
    pen, font, small = ImageDraw.Draw(page), load_font(13), load_font(12)
    for row, group in enumerate(groups):
        for column, member in enumerate(group.members):
            left, top = GAP + column * (SIZE + GAP), GAP + row * tall
            label = f"{member.edit.type} (T{member.edit.tier})" if member.edit else "base"
            pen.text((left, top), label, fill="black", font=font)
            page.paste(member.image.convert("RGB"), (left, top + HEAD - 4))
        pen.text((GAP, GAP + row * tall + HEAD + SIZE), group.members[0].caption, fill="#333333", font=small)
    return page


if __name__ == "__main__":
    main()
