"""How the documentation is built: `make docs` writes build/docs/index.html."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parents[1] / "src")]

from covalign import __version__  # noqa: E402

project = "covalign"
author = "The covalign developers"
copyright = "The covalign developers, MIT licence"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "offline_mathematics",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
sphinx_gallery_conf = {  # runs the cells, again only when they have changed; a cell that fails ends the build
    "examples_dirs": ["../notebook"],
    "gallery_dirs": ["notebook"],
    "only_warn_on_example_error": False,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": float("inf"),
    "write_computation_times": False,
    "image_scrapers": ("matplotlib",),
    "capture_repr": ("_repr_html_", "__repr__"),
}
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
html_math_renderer = "offline"
templates_path: list[str] = []
exclude_patterns = ["_ext", "_static"]
default_role = "code"
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = "covalign"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_sidebars: dict[str, list[str]] = {
    page: [] for page in ("index", "tutorial", "gallery", "beside-other-tools", "promises", "scale")
}
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("References", "notes_style")]

# What is documented elsewhere, with no copy at hand to link to. Names of covalign are never on this list.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|numpy|pandas|pathlib|jaxtyping|collections|matplotlib|typing)\..*"),
    ("py:.*", r"(Path|Tensor|ndarray|DataFrame|Figure|Any|Literal|ArrayLike|NetworkLike)"),
    ("py:.*", r"(Float|Float32|Float64|Int64|UInt8|Bool)"),
    ("py:.*", r"'.*'|dict\[str"),  # a shape, and half a type
]

SHORTER = {
    "~torch.Tensor | ~numpy.ndarray | list[~typing.Any] | tuple[~typing.Any, ...]": "ArrayLike",
    "~covalign.studies.subjects.Subject | ~covalign.networks.network.Network | ~covalign.training.run.Run | "
    "~torch.nn.modules.module.Module | str | ~pathlib.Path": "NetworkLike",
}
"""Types that many functions take, by the names under which the reference explains them."""


def shorter(
    app: Any, what: str, name: str, it: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """Write the types that everything takes by their names, and defaults without addresses in memory."""
    for long, short in SHORTER.items():
        signature = signature and signature.replace(long, short)
        returns = returns and returns.replace(long, short)
    return signature and re.sub(r"<function (<\w+>|[^<>]*)>", "...", signature), returns


def public(app: Any, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    """Link a name that is at home in a module to its entry under the front's name; other modules' names stay text."""
    target = node.get("reftarget", "")
    if not target.startswith("covalign."):
        return None
    domain = env.get_domain("py")
    front = f"covalign.{target.rpartition('.')[2]}"
    if front != target and front in domain.objects:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", front, node, content)
    return content if target.count(".") > 1 else None


def whole(app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    """Let a property's first sentence be a sentence: napoleon takes what stands before a colon for its type."""
    if what in {"property", "attribute"}:
        lines[:0] = ["..", ""]


def setup(app: Any) -> None:
    """Register them."""
    app.connect("autodoc-process-docstring", whole, priority=100)
    app.connect("autodoc-process-signature", shorter)
    app.connect("missing-reference", public)
