"""What stand-alone pages share: a template, Plotly and own scripts inlined and named by their hashes, data as data.

A page opens offline and needs nothing beside itself. Its content security policy lets only the scripts run whose
hashes it names and forbids every connection, so that nothing that a machine's or workload's name says can run or be
fetched. Equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, *, scripts: Sequence[str], styles: Sequence[str], **values: object) -> str:
    """The page that a template makes of ``values``, with these files of the templates' folder in it.

    Scripts run in the order given, behind Plotly's.
    """
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csv_link"] = _csv_link
    texts = [get_plotlyjs().replace("\r\n", "\n"), *map(_read, scripts)]
    return environment.get_template(template).render(
        css="".join(map(_read, styles)),
        scripts=texts,
        hashes=[f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts],
        **values,
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def script_safe(value: object) -> str:
    """JSON that cannot end the script element it stands in; the keys of objects keep their order."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _csv_link(text: str) -> str:
    """A link target that holds the whole CSV file."""
    content = base64.b64encode(text.encode("utf-8", errors="replace")).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"
