"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

_log = logging.getLogger(__name__)
_THIN = '<mspace width="0.17em"></mspace>'


def _mathml(node: Any, *, as_block: bool = False) -> str:
    try:
        return _spaced(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        _log.warning("%s in the formula %s", error, node.astext(), location=node)
        return ""


def _spaced(mathml: str) -> str:
    """With TeX's spaces: thin ones about the names of functions, none within bars."""
    mathml = re.sub(r"<mi>(log|min|max)</mi>(?!\s*<mo[^>]*>[(\[])", rf"<mi>\1</mi>{_THIN}", mathml)
    mathml = re.sub(r"(</m\w+>\s*)(?=<mi>log</mi>)", rf"\1{_THIN}", mathml)
    return re.sub(r"<mo([^>]*)>([|\u2223])</mo>", r'<mo\1 lspace="0" rspace="0">\2</mo>', mathml)


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(_mathml(node))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
