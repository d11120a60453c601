"""Pictures for people: grids of images, labelled comparisons, and curves.

`compose_grid` and `show_hole` turn arrays into arrays, for the samples of a training run.
`save_comparison`, `save_gallery`, `save_curves`, `save_progress` and `save_panels` draw figures for
a report: the suffix of the path decides between .png, .jpg, .pdf and .svg, text stays text in the
last two, and files are written atomically. `save_animation` makes pictures move.
Images are float RGB `[H, W, 3]` in [0, 1], masks `[H, W, 1]` with 1 = missing.

In a comparison small images are enlarged by a whole factor, each pixel to a square, and large ones
are averaged down, so that nothing is blurred that was sharp. No figure touches pyplot's state, so
that drawing in one thread never disturbs another.
"""

import dataclasses
import io
import logging
import pathlib
import re

import cv2
import matplotlib
import numpy as np
import PIL.Image
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import BboxImage
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox, TransformedBbox

from common.errors import InputError
from common.pictures.images import (
    ANIMATION_SUFFIXES,
    CELL_PIXELS,
    FIGURE_SUFFIXES,
    resize,
    to_uint8,
    write_bytes_atomically,
)

# Writing a .pdf, it tells of every table of a font.
logging.getLogger("fontTools").setLevel(logging.WARNING)

# A power of two: pixels / DPI is then exact, and every image pixel falls on whole figure pixels.
DPI = 128
MAX_CELL_PIXELS = 512  # larger ones are reduced to this
MAX_ROW_PIXELS = 768  # a portrait beside landscapes may be so high
GAP_PIXELS = 8
MARGIN_PIXELS = 12
LABEL_POINTS = 10
TITLE_POINTS = 12
LINE_SPACING = 1.3
DESCENT = 0.2  # the part of a line below its baseline
ROW_LABEL_PIXELS = 224  # at most
# Pictures that are grids themselves, and the diagrams beside them.
GRID_PIXELS, MAX_GRID_PIXELS = 480, 720
DIAGRAM_PIXELS = 280  # height
AXIS_LEFT_PIXELS, AXIS_BELOW_PIXELS = 96, 64  # room for an axis's numbers and its name

# Okabe and Ito's colours, which stay apart for colour-blind readers; yellow is too pale on white.
CURVE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CURVE_STYLES = ("-", "--", ":", "-.")


def compose_grid(rows, pad=2):
    """Composes equally sized images into one picture on white.

    Args:
        rows: list of lists of float `[H, W, 3]` in [0, 1]. A shorter row ends in white.
        pad: white pixels between images and around them.

    Returns:
        float32 `[R*H + (R+1)*pad, C*W + (C+1)*pad, 3]` for R rows of up to C images.

    Raises:
        InputError: there is no image, or sizes differ.
    """
    shapes = {np.shape(image) for row in rows for image in row}
    if len(shapes) != 1:
        raise InputError(f"a grid needs images of one size, got {sorted(shapes) or 'none'}")
    height, width, channels = shapes.pop()
    step_y, step_x = height + pad, width + pad
    columns = max(len(row) for row in rows)
    grid = np.ones((len(rows) * step_y + pad, columns * step_x + pad, channels), np.float32)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            top, left = pad + r * step_y, pad + c * step_x
            grid[top : top + height, left : left + width] = image
    return grid


def show_hole(image, mask, color=(1, 0, 1)):
    """Paints the hole in one colour.

    Args:
        image: float `[..., H, W, 3]` in [0, 1].
        mask: `[..., H, W, 1]`, 1 = missing.
        color: RGB in [0, 1]; magenta, which photographs hardly contain.

    Returns:
        float32, the shape of `image`.
    """
    return np.where(np.asarray(mask) == 1, np.float32(color), np.asarray(image, np.float32))


def save_comparison(path, rows, columns, row_labels=None, title=None, pixels=CELL_PIXELS):
    """Draws rows of images under labelled columns.

    Args:
        path: where to write; its ending is one of `FIGURE_SUFFIXES`.
        rows: list of lists of float `[H, W, 3]` in [0, 1], one image per column. Sizes may differ:
            all columns are equally wide, a row is as high as its highest image, and a row of
            narrow images is enlarged to fill the width.
        columns: a label per column.
        row_labels: None, or a label per row.
        title: None, or a line above everything.
        pixels: small images are enlarged to about this side.

    Raises:
        InputError: rows, columns and labels do not match, or the file cannot be written.
    """
    if not rows or not columns or any(len(row) != len(columns) for row in rows):
        lengths = [len(row) for row in rows]
        raise InputError(f"{path}: {len(columns)} column labels for rows of {lengths} images")
    if row_labels is not None and len(row_labels) != len(rows):
        raise InputError(f"{path}: {len(row_labels)} row labels for {len(rows)} rows")
    shown = _fit_rows(rows, pixels)
    cell_width = max(image.shape[1] for row in shown for image in row)
    heights = [max(image.shape[0] for image in row) for row in shown]
    strips = [
        compose_grid([[_center(image, height, cell_width) for image in row]], pad=GAP_PIXELS)
        for row, height in zip(shown, heights, strict=True)
    ]
    # Neighbours share the gap between them.
    grid = np.concatenate([strips[0], *(strip[GAP_PIXELS:] for strip in strips[1:])])

    heads = [_wrap(label, LABEL_POINTS, cell_width) for label in columns]
    sides = [_wrap(label, LABEL_POINTS, ROW_LABEL_PIXELS) for label in row_labels or ()]
    left = MARGIN_PIXELS + max((_text_width(side, LABEL_POINTS) for side in sides), default=0)
    width = left + grid.shape[1] + MARGIN_PIXELS
    banner = _wrap(title, TITLE_POINTS, width - 2 * MARGIN_PIXELS) if title else ""
    head_height = max(_text_height(head, LABEL_POINTS) for head in heads)
    top = MARGIN_PIXELS + head_height
    if banner:
        top += _text_height(banner, TITLE_POINTS) + MARGIN_PIXELS
    height = top + grid.shape[0] + MARGIN_PIXELS

    figure = _Canvas(width, height)
    figure.picture(grid, left, top)
    if banner:
        figure.text(width / 2, MARGIN_PIXELS, banner, TITLE_POINTS, ha="center", va="top")
    for c, head in enumerate(heads):
        x = left + GAP_PIXELS + c * (cell_width + GAP_PIXELS) + cell_width / 2
        # Line by line from below: neighbours share a baseline, however many lines each has.
        for line_up, line in enumerate(reversed(head.split("\n"))):
            y = top - (line_up + DESCENT) * _text_height(line, LABEL_POINTS)
            figure.text(x, y, line, LABEL_POINTS, ha="center", va="baseline")
    y = top + GAP_PIXELS
    for side, row_height in zip(sides, heights if sides else (), strict=True):
        figure.text(left, y + row_height / 2, side, LABEL_POINTS, ha="right", va="center")
        y += row_height + GAP_PIXELS
    _save(path, figure.figure)


def save_gallery(path, pictures, columns=8):
    """Draws labelled images of one size in rows.

    Args:
        path: where to write; its ending is one of `FIGURE_SUFFIXES`.
        pictures: list of `(label, image [H, W, 3] in [0, 1])`.
        columns: images in a row, at most.

    Raises:
        InputError: there is no image, or the file cannot be written.
    """
    if not pictures:
        raise InputError(f"{path}: there is no picture to draw")
    shown = [_fit_cell(image) for _, image in pictures]
    cell_height, cell_width = shown[0].shape[:2]
    labels = [_wrap(label, LABEL_POINTS, cell_width) for label, _ in pictures]
    step_x = cell_width + GAP_PIXELS
    step_y = max(_text_height(label, LABEL_POINTS) for label in labels) + cell_height + GAP_PIXELS
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    canvas = _Canvas(
        2 * MARGIN_PIXELS + columns * step_x - GAP_PIXELS,
        2 * MARGIN_PIXELS + rows * step_y - GAP_PIXELS,
    )
    for n, (label, image) in enumerate(zip(labels, shown, strict=True)):
        left = MARGIN_PIXELS + n % columns * step_x
        bottom = MARGIN_PIXELS + (n // columns + 1) * step_y - GAP_PIXELS
        y = bottom - cell_height - DESCENT * _text_height("", LABEL_POINTS)
        canvas.text(left + cell_width / 2, y, label, LABEL_POINTS, ha="center", va="baseline")
        canvas.picture(image, left, bottom - cell_height)
    _save(path, canvas.figure)


def save_animation(path, pictures, seconds=0.2):
    """Draws images of one size one after another, and then again from the first.

    Args:
        path: where to write; .gif (256 colours) or .webp (lossless).
        pictures: list of float `[H, W, 3]` in [0, 1]; small ones are enlarged.
        seconds: of each image but the last, which stays for ten times as long.

    Raises:
        InputError: there is no image, another suffix, or the file cannot be written.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in ANIMATION_SUFFIXES or not pictures:
        wanted = " or ".join(ANIMATION_SUFFIXES)
        raise InputError(f"{path}: an animation ends in {wanted} and has at least one picture")
    first, *others = (PIL.Image.fromarray(to_uint8(_fit_cell(image))) for image in pictures)
    buffer = io.BytesIO()
    duration = [round(1000 * seconds)] * len(others) + [round(10_000 * seconds)]
    options = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
    if suffix == ".webp":
        options["lossless"] = True
    first.save(buffer, format=suffix[1:], **options)
    write_bytes_atomically(path, buffer.getvalue())


def save_curves(path, series, xlabel, ylabel, title=None, xscale="linear"):
    """Draws curves in one diagram, with their names beside it.

    Args:
        path: where to write; its ending is one of `FIGURE_SUFFIXES`.
        series: dict from a name to `(xs, ys)`, two sequences of one length.
        xlabel: what the horizontal axis shows, with its unit.
        ylabel: what the vertical axis shows, with its unit.
        title: None, or a line above the diagram.
        xscale: of the horizontal axis, "linear" or "log".

    Raises:
        InputError: there is no series, the lengths in one differ, or the file cannot be written.
    """
    if not series:
        raise InputError(f"{path}: there is no curve to draw")
    figure = Figure(figsize=(7, 4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    lines = []
    for index, (name, (xs, ys)) in enumerate(series.items()):
        if len(xs) != len(ys):
            raise InputError(f"{path}: curve '{name}' has {len(xs)} xs but {len(ys)} ys")
        colour = CURVE_COLOURS[index % len(CURVE_COLOURS)]
        # A second round of colours comes in another style.
        style = CURVE_STYLES[index // len(CURVE_COLOURS) % len(CURVE_STYLES)]
        marker = "o" if len(xs) <= 20 else ""
        lines += axes.plot(xs, ys, color=colour, linestyle=style, marker=marker, markersize=4)
    axes.set_xscale(xscale)
    if xscale == "log":
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(_plain(title))
    names = [_plain(name) for name in series]
    figure.legend(lines, names, loc="outside right upper", frameon=False)
    _save(path, figure)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A column of ``save_panels``.

    Attributes:
        title: above everything.
        notes: lines of text below it.
        picture: float `[H, W, 3]` in [0, 1].
        curve: `(xs, ys)`, two sequences of one length.
        ylabel: what the curve's vertical axis shows.
    """

    title: str
    notes: tuple
    picture: np.ndarray
    curve: tuple
    ylabel: str


def save_progress(path, curve, pictures, xlabel, ylabel):
    """Draws a curve, and below it pictures of some of its points, which are marked.

    Args:
        path: where to write; its ending is one of `FIGURE_SUFFIXES`.
        curve: `(xs, ys)`, two sequences of one length.
        pictures: list of `(x, label, image [H, W, 3] in [0, 1])`, images of one size.
        xlabel: what the horizontal axis shows.
        ylabel: what the vertical axis shows.

    Raises:
        InputError: there is no picture, or the file cannot be written.
    """
    if not pictures:
        raise InputError(f"{path}: there is no picture to draw")
    shown = [_fit_cell(image, GRID_PIXELS, MAX_GRID_PIXELS) for _, _, image in pictures]
    cell_height, cell_width = shown[0].shape[:2]
    # A single picture leaves room for a readable diagram.
    room = max(len(shown), 2) * (cell_width + MARGIN_PIXELS) - MARGIN_PIXELS
    labels = [_wrap(label, LABEL_POINTS, cell_width) for _, label, _ in pictures]
    label_height = max(_text_height(label, LABEL_POINTS) for label in labels)
    top = MARGIN_PIXELS + DIAGRAM_PIXELS + AXIS_BELOW_PIXELS + label_height + MARGIN_PIXELS
    canvas = _Canvas(room + 2 * MARGIN_PIXELS, top + cell_height + MARGIN_PIXELS)
    axes = canvas.diagram(MARGIN_PIXELS, MARGIN_PIXELS, room, curve, xlabel, ylabel)
    for (x, _, _), image, label, n in zip(pictures, shown, labels, range(len(shown)), strict=True):
        axes.axvline(x, color="0.6", linestyle=":", zorder=1)
        left = MARGIN_PIXELS + n * (cell_width + MARGIN_PIXELS)
        canvas.text(left + cell_width / 2, top, label, LABEL_POINTS, ha="center", va="bottom")
        canvas.picture(image, left, top)
    _save(path, canvas.figure)


def save_panels(path, panels, xlabel):
    """Draws panels side by side: title, notes, picture, and a curve of its own below it.

    Args:
        path: where to write; its ending is one of `FIGURE_SUFFIXES`.
        panels: list of ``Panel``.
        xlabel: what the curves' horizontal axes show.

    Raises:
        InputError: there is no panel, or the file cannot be written.
    """
    if not panels:
        raise InputError(f"{path}: there is nothing to draw")
    shown = [_fit_cell(panel.picture, GRID_PIXELS, MAX_GRID_PIXELS) for panel in panels]
    cell_height = max(image.shape[0] for image in shown)
    cell_width = max(image.shape[1] for image in shown)
    titles = [_wrap(panel.title, TITLE_POINTS, cell_width) for panel in panels]
    notes = [
        "\n".join(_wrap(note, LABEL_POINTS, cell_width) for note in panel.notes) for panel in panels
    ]
    notes_top = MARGIN_PIXELS + max(_text_height(title, TITLE_POINTS) for title in titles)
    top = notes_top + max(_text_height(note, LABEL_POINTS) for note in notes) + GAP_PIXELS
    diagram_top = top + cell_height + 2 * MARGIN_PIXELS
    canvas = _Canvas(
        MARGIN_PIXELS + len(panels) * (cell_width + 2 * MARGIN_PIXELS),
        diagram_top + DIAGRAM_PIXELS + AXIS_BELOW_PIXELS,
    )
    for n, panel in enumerate(panels):
        left = MARGIN_PIXELS + n * (cell_width + 2 * MARGIN_PIXELS)
        middle = left + cell_width / 2
        canvas.text(middle, MARGIN_PIXELS, titles[n], TITLE_POINTS, ha="center", va="top")
        canvas.text(middle, notes_top, notes[n], LABEL_POINTS, ha="center", va="top")
        canvas.picture(_center(shown[n], cell_height, cell_width), left, top)
        canvas.diagram(left, diagram_top, cell_width, panel.curve, xlabel, panel.ylabel)
    _save(path, canvas.figure)


class _Canvas:
    """A figure measured in pixels from its top left corner."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        self.figure.suppressComposite = True  # each picture one of its own, in vectors too

    def picture(self, image, left, top):
        """Places `[H, W, 3]` so that its pixels are the figure's pixels."""
        height, width = image.shape[:2]
        bottom = self.height - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        # Axes, and all that is on them, would take as long as the drawing.
        place = TransformedBbox(Bbox.from_bounds(*box), self.figure.transFigure)
        shown = BboxImage(place, interpolation="nearest", origin="upper")
        shown.set_data(np.clip(image, 0, 1))
        self.figure.add_artist(shown)

    def diagram(self, left, top, width, curve, xlabel, ylabel):
        """Draws a curve, with the room for its vertical axis inside `width`; returns the axes."""
        bottom = self.height - top - DIAGRAM_PIXELS
        inner = width - AXIS_LEFT_PIXELS - MARGIN_PIXELS
        axes = self.figure.add_axes(
            (
                (left + AXIS_LEFT_PIXELS) / self.width,
                bottom / self.height,
                inner / self.width,
                DIAGRAM_PIXELS / self.height,
            )
        )
        axes.plot(*curve, color=CURVE_COLOURS[0], marker="o" if len(curve[0]) <= 20 else "")
        if min(curve[1]) > 0 and max(curve[1]) > 10 * np.median(curve[1]):
            # A few huge values at the start would flatten the rest.
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.set_xlabel(_plain(xlabel))
        axes.set_ylabel(_plain(ylabel))
        axes.locator_params(axis="x", nbins=5)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    def text(self, x, y, text, points, **alignment):
        """Writes at a point."""
        style = {"fontsize": points, "linespacing": LINE_SPACING, **alignment}
        self.figure.text(x / self.width, 1 - y / self.height, _plain(text), **style)


def _fit_rows(rows, wanted):
    """Brings images to a size for the eye, and narrow rows to the width of the others."""
    rows = [[np.asarray(image, np.float32) for image in row] for row in rows]
    scales = [[_scale(*image.shape[:2], wanted) for image in row] for row in rows]
    widths = [
        max(scale * image.shape[1] for image, scale in zip(*pair, strict=True))
        for pair in zip(rows, scales, strict=True)
    ]
    fitted = []
    for row, own, width in zip(rows, scales, widths, strict=True):
        height = max(scale * image.shape[0] for image, scale in zip(row, own, strict=True))
        wider = max(1.0, min(max(widths) / width, MAX_ROW_PIXELS / height))
        fitted.append([_rescale(*pair) for pair in zip(row, [s * wider for s in own], strict=True)])
    return fitted


def _fit_cell(image, wanted=CELL_PIXELS, most=MAX_CELL_PIXELS):
    """Brings `[H, W, 3]` to a size for the eye."""
    image = np.asarray(image, np.float32)
    return _rescale(image, _scale(*image.shape[:2], wanted, most))


def _scale(height, width, wanted, most=MAX_CELL_PIXELS):
    """How far to enlarge, by a whole factor, or to reduce an image."""
    longest = max(height, width)
    return most / longest if longest > most else max(1, round(wanted / longest))


def _rescale(image, scale):
    """Enlarges `[H, W, 3]` by the whole factor below `scale`, or averages it down."""
    if scale >= 1:
        factor = int(scale + 1e-6)
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    return resize(image, *(max(1, round(scale * side)) for side in image.shape[:2]))


def _center(image, height, width):
    """Puts an image in the middle of a white cell `[height, width, 3]`."""
    spare_y, spare_x = height - image.shape[0], width - image.shape[1]
    around = ((spare_y // 2, spare_y - spare_y // 2), (spare_x // 2, spare_x - spare_x // 2))
    return np.pad(image, (*around, (0, 0)), constant_values=1)


def _wrap(text, points, width):
    """Breaks a label after spaces, hyphens, slashes and underscores; shortens what is left over.

    Args:
        text: the label.
        points: its font size.
        width: the room for it, in pixels.

    Returns:
        One or more lines, none wider than `width`.
    """
    lines = [""]
    for piece in re.findall(r"[^\s_/-]*[\s_/-]+|[^\s_/-]+", str(text)):
        if lines[-1] and _text_width((lines[-1] + piece).rstrip(), points) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(_shorten(line.strip(), points, width) for line in lines)


def _shorten(line, points, width):
    """Replaces the middle of a line by an ellipsis until it fits: the ends name a file best."""
    shortened, keep = line, len(line) - 1
    while keep > 1 and _text_width(shortened, points) > width:
        shortened = line[: (keep + 1) // 2] + "…" + line[len(line) - keep // 2 :]
        keep -= 1
    return shortened


def _text_width(text, points):
    """Width in pixels of the widest line."""
    font = FontProperties(size=points)
    measure = text_to_path.get_text_width_height_descent
    widths = [measure(line, font, ismath=False)[0] for line in text.split("\n") if line.strip()]
    return int(np.ceil(max(widths, default=0) / 72 * DPI))


def _text_height(text, points):
    """Height in pixels of all lines."""
    return int(np.ceil((text.count("\n") + 1) * LINE_SPACING * points / 72 * DPI))


def _plain(text):
    """Keeps a dollar sign in a label from starting a formula."""
    return str(text).replace("$", r"\$")


def _save(path, figure):
    """Writes a figure atomically in the format that the suffix names."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in FIGURE_SUFFIXES:
        raise InputError(f"{path}: figures end in {', '.join(FIGURE_SUFFIXES)}, not '{suffix}'")
    # Text as text, not as outlines: it can be searched, and edited for a paper.
    style = {"pdf.fonttype": 42, "svg.fonttype": "none", "savefig.bbox": "standard"}
    # Of the formats only this one loses something: as little as suits thin letters and holes.
    options = {"pil_kwargs": {"quality": 85, "subsampling": 0}} if suffix == ".jpg" else {}
    buffer = io.BytesIO()
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format=suffix[1:], dpi=DPI, facecolor="white", **options)
    write_bytes_atomically(path, buffer.getbuffer())


def show_looks(images, masks, looks, pixels):
    """Where missing places look, in the colours of ``show_offsets``; what is known is pale.

    Args:
      images: float32 [N, H, W, 3] in [0, 1].
      masks: float32 [N, H, W, 1], 1 = missing.
      looks: int [N, h, w, 2], the row and column of the place that each place looks at.
      pixels: height and width of a place.

    Returns:
      float32 [N, H, W, 3] in [0, 1].
    """
    _, height, width, _ = np.shape(images)
    rows, columns = np.meshgrid(*map(np.arange, looks.shape[1:3]), indexing="ij")
    colors = show_offsets(looks - np.stack([rows, columns], axis=-1), max(looks.shape[1:3]) / 2)
    colors = np.repeat(np.repeat(colors, pixels, axis=1), pixels, axis=2)[:, :height, :width]
    return np.where(np.asarray(masks) > 0, colors, 0.5 + np.float32(images) / 2)


def show_offsets(offsets, reach):
    """Colours of where each place looks: the hue is the direction, the saturation the distance.

    Red is to the right, yellow-green down, cyan to the left, violet up; white is the place itself.

    Args:
      offsets: [..., H, W, 2]: rows down, columns to the right.
      reach: a length that is, as all longer ones are, fully saturated.

    Returns:
      float32 [..., H, W, 3] in [0, 1].
    """
    rows, columns = np.moveaxis(np.asarray(offsets, np.float32), -1, 0)
    hue = np.degrees(np.arctan2(rows, columns)) % 360
    saturation = np.minimum(np.hypot(rows, columns) / reach, 1)
    hsv = np.stack([hue, saturation, np.ones_like(hue)], axis=-1).astype(np.float32)
    flat = hsv.reshape(-1, hsv.shape[-2], 3)
    return cv2.cvtColor(flat, cv2.COLOR_HSV2RGB).reshape(hsv.shape)
