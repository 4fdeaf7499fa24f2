"""Where links lead: from paths between source files to addresses between the site's files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

__all__ = ["address", "local_path", "relinked"]


def local_path(href: str, source: str) -> str | None:
    """The path, relative to the source folder, of the file that a link in document `source` names.

    None for a link to somewhere else: another site, or a place in the page itself. `href` is as in
    HTML, percent-encoded. A path that climbs out of the source folder begins with `../`.
    """
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path:
        return None
    path = unquote(parts.path)
    if path.startswith("/"):
        return posixpath.normpath(path.lstrip("/") or ".")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path))


def address(file: str, seen_from: str) -> str:
    """The relative address of one file of the site, in a page that is another."""
    return quote(posixpath.relpath(file, posixpath.dirname(seen_from) or "."))


def relinked(href: str, source: str, file: str, targets: Mapping[str, str]) -> str | None:
    """The link of document `source` as it has to be in its page `file`; None: it leads nowhere.

    `targets` are the site's files by source path. A link to somewhere else stays as it is.
    """
    path = local_path(href, source)
    if path is None:
        return href
    target = targets.get(path)
    if target is None:
        return None
    return urlunsplit(("", "", address(target, file), "", urlsplit(href).fragment))
