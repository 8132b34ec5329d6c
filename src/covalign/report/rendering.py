"""How does a page become one file that needs nothing else?

Styles, scripts, pictures and numbers are all inside. A content security policy forbids every request and
every script but the two whose hashes it names, so that a hostile name in a weight file stays a name. The same
page gives the same bytes.
"""

import base64
import hashlib
import io
import math
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from covalign.errors import unwritable
from covalign.report.page import Download, Page, Panel, Spark
from covalign.report.stills import still
from covalign.storage.atomic import write_durably
from covalign.storage.plain import plain_numbers

SPARK_WIDTH, SPARK_HEIGHT = 72.0, 18.0


def render(page: Page, *, static: bool = False) -> str:
    """Return the page as one HTML document.

    Args:
        page: what it shows.
        static: pictures instead of interactive plots, and no script at all.
    """
    templates = environment(static)
    style = templates.get_template("page.css").render()
    scripts = [] if static else [Markup(charts()), Markup(templates.get_template("page.js").render())]
    return templates.get_template("page.html").render(
        page=page, style=Markup(style), scripts=scripts, policy=content_policy(scripts)
    )


def charts() -> str:
    """Return the script that draws the plots: the smallest bundle of plotly.js that has lines, bars and error bars.

    It is kept beside this file with its licence (MIT), so that a report needs no package of 60 MB.
    """
    return files("covalign.report").joinpath("plotly", "plotly-basic.min.js").read_text(encoding="utf-8")


def encoded(page: Page, static: bool = False) -> bytes:
    """Return the page as the bytes of a file."""
    return render(page, static=static).encode("utf-8", errors="replace")


def write_page(page: Page, path: str | os.PathLike[str], *, static: bool = False) -> Path:
    """Render the page into ``path`` and return it; missing folders are made.

    Raises:
        InputError: the path is a folder or cannot be written.
    """
    target = Path(path)
    try:
        write_durably(target, encoded(page, static))
    except OSError as error:
        raise unwritable(f"report: {path}", error, "give a file in a writable folder") from error
    return target


def environment(static: bool = False) -> Environment:
    """Return the template environment: everything is escaped, an unknown name is an error."""
    templates = Environment(
        loader=PackageLoader("covalign.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    templates.filters |= {
        "png": png_uri,
        "file": file_uri,
        "cell": cell_text,
        "order": cell_order,
        "spark": spark_path,
        "numbers": plain_numbers,
        "still": still_uri,
        "zip": zip,
    }
    templates.globals["static"] = static
    templates.tests["sparkline"] = lambda value: isinstance(value, Spark)
    return templates


def content_policy(scripts: Sequence[str]) -> str:
    """Return a policy that runs exactly these scripts and lets nothing be fetched."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def png_uri(pixels: np.ndarray) -> str:
    """Return an image as a PNG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def still_uri(panel: Panel, many: bool) -> str:
    """Return a plot as a PNG data URI; among others it is small."""
    return f"data:image/png;base64,{base64.b64encode(still(panel, many)).decode()}"


def file_uri(file: Download) -> str:
    """Return a file as a data URI."""
    return f"data:{file.media_type};charset=utf-8;base64,{base64.b64encode(file.content).decode()}"


def cell_text(value: Any, digits: int | None) -> str:
    """Return a cell as it is printed: a dash for NaN, a true minus sign, yes and no.

    What ``digits`` after the point would round to nothing is printed with an exponent.
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "–"
    vanishes = digits is not None and 0 < abs(value) < 0.5 * 10.0**-digits
    text = f"{value:,}" if digits is None else f"{value:.0e}" if vanishes else f"{value:.{digits}f}"
    return text.replace("-", "\u2212")


def cell_order(value: Any) -> str:
    """Return what a cell sorts by; empty for NaN, which sorts last."""
    if isinstance(value, Spark):
        finite = [entry for entry in value.values if math.isfinite(entry)]
        value = sum(finite) / len(finite) if finite else math.nan
    if isinstance(value, str):
        return value
    return repr(float(value)) if math.isfinite(value) else ""


def spark_path(spark: Spark) -> dict[str, str]:
    """Return the SVG paths of a sparkline and of its reference level, over 72 by 18 units."""
    finite = [entry for entry in (*spark.values, spark.level) if math.isfinite(entry)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    step = SPARK_WIDTH / max(len(spark.values) - 1, 1)

    def height(entry: float) -> float:
        return 1 + (SPARK_HEIGHT - 2) * (high - entry) / ((high - low) or 1.0)

    path, drawing = "", False
    for index, entry in enumerate(spark.values):
        if math.isfinite(entry):
            path += f"{'L' if drawing else 'M'}{index * step:.1f} {height(entry):.1f}"
        drawing = math.isfinite(entry)
    level = f"M0 {height(spark.level):.1f}H{SPARK_WIDTH:g}" if math.isfinite(spark.level) else ""
    return {"line": path, "level": level}
