# SPDX-License-Identifier: Apache-2.0
"""plot: the ratios as an SVG of horizontal bars. 1.0 is the kernel; right of it DMM is better."""
from html import escape

ROW, LEFT, WIDTH, TOP = 18, 270, 420, 50
COLOURS = ["#3b6ea5", "#6aa84f", "#b07030", "#8060a0"]


def svg(title, rows, series):
    """rows: (label, [goodness of each series or None]); goodness 2.0 is twice as good as the kernel."""
    top = max([2.0] + [v for _, values in rows for v in values if v])
    scale = WIDTH / top
    block = ROW * len(series) + 8
    height = TOP + block * len(rows) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}" height="{height}" '
           f'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="15">{escape(title)}</text>']
    for i, name in enumerate(series):
        out.append(f'<rect x="{LEFT + i * 190}" y="28" width="10" height="10" fill="{COLOURS[i]}"/>'
                   f'<text x="{LEFT + 14 + i * 190}" y="37">{escape(name)}</text>')
    for r, (label, values) in enumerate(rows):
        y = TOP + r * block
        out.append(f'<text x="{LEFT - 8}" y="{y + block / 2}" text-anchor="end">{escape(label)}</text>')
        for i, value in enumerate(values):
            if value is None:
                continue
            at = y + i * ROW
            out.append(f'<rect x="{LEFT}" y="{at}" width="{value * scale:.1f}" height="{ROW - 4}" '
                       f'fill="{COLOURS[i]}"/><text x="{LEFT + value * scale + 4:.1f}" y="{at + 11}">{value:.2f}</text>')
    one = LEFT + scale
    out.append(f'<line x1="{one}" x2="{one}" y1="{TOP - 5}" y2="{height - 30}" stroke="black" stroke-dasharray="3,3"/>'
               f'<text x="{one}" y="{height - 15}" text-anchor="middle">1.0 = the kernel</text></svg>')
    return "\n".join(out) + "\n"
