"""Make docs/assets/fonts/dlkb-math.woff2: the part of Latin Modern Math that pages use.

Usage: python scripts/math_font.py [PATH/TO/latinmodern-math.otf]

The font is in Debian's fonts-lmodern. The subset keeps the OpenType MATH table and, with it,
the larger and the stretchy forms of every delimiter, root, arrow and accent that it holds.
Two constants of that table change, and so does the name, as the font's licence asks: TeX drops
and raises scripts by the height of their base only when the base is a box, browsers do so
always, which puts the subscript of a g or a β too low.
"""

import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

SOURCE = Path("/usr/share/texmf/fonts/opentype/public/lm-math/latinmodern-math.otf")
NAME = "dlkb Math"
TARGET = Path(__file__).parents[1] / "docs/assets/fonts/dlkb-math.woff2"

RANGES = [
    (0x20, 0x7E),  # ASCII
    (0xA0, 0xFF),  # Latin-1: ¬ ± × ÷ · and the spacing accents, ¯ among them
    (0x131, 0x131),  # dotless i, for accents
    (0x237, 0x237),  # dotless j
    (0x2C6, 0x2DC),  # spacing circumflex, caron, breve, tilde …
    (0x300, 0x338),  # combining accents and the negating stroke
    (0x391, 0x3F6),  # Greek
    (0x2010, 0x2064),  # dashes, bars, primes, overline, invisible operators
    (0x20D0, 0x20DC),  # arrows above, dots above
    (0x2100, 0x214F),  # letterlike: ℝ ℓ ℑ ℏ
    (0x2190, 0x21FF),  # arrows
    (0x2200, 0x22FF),  # operators
    (0x2308, 0x230B),  # ceiling, floor
    (0x23B4, 0x23E1),  # brackets and braces above and below
    (0x25A0, 0x25FF),  # geometric shapes
    (0x27C2, 0x27EF),  # ⟂ and the angle brackets
    (0x27F0, 0x27FF),  # long arrows
    (0x2A00, 0x2A2F),  # large operators
    (0x2A7D, 0x2AB0),  # slanted inequalities, ≪ ⪯
    (0x1D400, 0x1D7FF),  # bold, italic, script, blackboard letters and digits
]
# Alphabets that the pages do not write.
LEFT_OUT = [
    (0x1D504, 0x1D537),  # fraktur
    (0x1D56C, 0x1D59F),  # bold fraktur
    (0x1D5D4, 0x1D66F),  # bold and italic sans
    (0x1D670, 0x1D6A3),  # monospace
    (0x1D756, 0x1D7CB),  # sans Greek
    (0x1D7E2, 0x1D7FF),  # sans and monospace digits
]


def characters() -> list[int]:
    """Return the code points that the subset keeps."""
    keep = {c for first, last in RANGES for c in range(first, last + 1)}
    return sorted(keep - {c for first, last in LEFT_OUT for c in range(first, last + 1)})


def main() -> None:
    """Write the font."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    if not source.is_file():
        sys.exit(f"{source} does not exist: install Debian's fonts-lmodern, or name the OTF")
    font = TTFont(source, recalcTimestamp=False)
    options = Options()
    options.flavor = "woff2"
    options.layout_features = []  # script-size alternates would double the file
    options.desubroutinize = True  # compresses better
    options.drop_tables += ["FFTM"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.hinting = False
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=characters())
    subsetter.subset(font)
    constants = font["MATH"].table.MathConstants
    constants.SubscriptBaselineDropMin.Value = 50
    constants.SuperscriptBaselineDropMax.Value = 320
    for name_id, text in ((1, NAME), (3, NAME), (4, NAME), (6, NAME.replace(" ", "-"))):
        font["name"].setName(text, name_id, 3, 1, 0x409)
    font["name"].removeNames(platformID=1)
    font["CFF "].cff.fontNames[0] = NAME.replace(" ", "-")
    font["CFF "].cff[0].FamilyName = font["CFF "].cff[0].FullName = NAME
    font.flavor = "woff2"
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    font.save(TARGET)
    print(f"{TARGET}: {len(font.getGlyphOrder())} glyphs, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
