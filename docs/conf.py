"""How Sphinx makes the site of these pages: `make docs`. Nothing on it asks the network for anything."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import harness  # noqa: E402 - of this checkout

project = "GAN noise harness"
author = "The GAN noise harness maintainers"
project_copyright = author
version = release = harness.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_mathml", "_gallery"]
exclude_patterns = ["_build", "README.md"]
nitpicky = True
# what annotations of public names mention, and no page here describes: other packages' classes, and inner ones
nitpick_ignore_regex = [
    (r"py:.*", r"harness\.\w+\..*"),
    (r"py:.*", r"(pa|pd|pyarrow|pandas|torch|numpy|np|jaxtyping|pydantic|typing|collections|pathlib|datetime)\b.*"),
]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # levels may be left out where a page is put together

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["own.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
default_role = "literal"  # single backticks of docstrings
highlight_language = "sh"  # of blocks without one
pygments_style = "default"
pygments_dark_style = "monokai"
