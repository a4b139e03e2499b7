"""Mount paths without mounts: where a text names a mount path, the folder behind it takes its place. Pure.

Only whole path names count: ``/data`` is found in ``/data/x.txt``, ``--in=/data`` and ``file:///data/x``, but neither
in ``/data2`` nor in ``/more/data`` nor in ``https://host/data``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from urllib.parse import quote

_FILE_URL = "file://"
# What comes before a path that stands for itself. In the text of a JSON string a line break is written \n, so that
# the letter before the slash is no part of a name.
_BEFORE = r"(?:(?<=file://)|(?<=\\[nrt])|(?<![\w.~%+@/-]))"
_AFTER = r"(?![\w~%+@-]|\.\w)"


class PathSubstitution:
    """Replaces each key of ``folders`` (absolute paths without a slash at the end) by its value."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = dict(folders)
        longest_first = sorted(self._folders, key=len, reverse=True)
        paths = "|".join(re.escape(path) for path in longest_first)
        self._pattern = re.compile(f"{_BEFORE}(?:{paths}){_AFTER}") if paths else None

    def text(self, text: str, *, in_json: bool = False) -> str:
        """``text`` with the folders in place; ``in_json`` writes them as JSON strings need it."""
        if self._pattern is None:
            return text

        def folder(match: re.Match[str]) -> str:
            place = self._folders[match[0]]
            if text.endswith(_FILE_URL, 0, match.start()):
                return quote(place)
            return json.dumps(place, ensure_ascii=False)[1:-1] if in_json else place

        return self._pattern.sub(folder, text)

    def content(self, name: str, content: bytes) -> bytes:
        """The content of the file ``name``, rewritten when it is text; what is in ``.gz`` is unpacked for that."""
        if name.endswith(".gz"):
            try:
                plain = gzip.decompress(content)
            except (OSError, EOFError):
                return content
            return gzip.compress(self.content(name.removesuffix(".gz"), plain), compresslevel=1, mtime=0)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return content
        return self.text(text, in_json=name.endswith(".json")).encode()
