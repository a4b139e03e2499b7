"""cwltool's cache of tools' outputs, made safe: what one tool made is taken for another one's never.

By itself cwltool tells tools apart by command line, input files and the *text* of their requirements. Two jobs of a
scatter whose inputs reach the tool only through an expression (a file written by InitialWorkDirRequirement, an
environment variable, the name of standard output) share an entry then: one would get the other's outputs, and running
side by side they wait for each other's lock for ever. Here each set of inputs has a cache of its own, and of equal
jobs in one run the first has the first, the second the second.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cwltool.command_line_tool import CommandLineTool
from cwltool.context import LoadingContext
from cwltool.process import Process
from cwltool.workflow import default_make_tool
from ruamel.yaml.comments import CommentedMap

_seen: Counter[str] = Counter()  # jobs of this process by their inputs


class SafelyCachedTool(CommandLineTool):
    """A command line tool whose cache is told apart by all of its inputs."""

    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Generator[Any, None, None]:  # noqa: N803
        if runtimeContext.cachedir:
            digest = inputs_digest([self.tool.get("baseCommand"), self.tool.get("arguments")], job_order)
            folder = Path(runtimeContext.cachedir, digest, str(_seen[digest]))
            _seen[digest] += 1
            folder.mkdir(parents=True, exist_ok=True)
            runtimeContext = runtimeContext.copy()  # noqa: N806
            runtimeContext.cachedir = str(folder)
        yield from super().job(job_order, output_callbacks, runtimeContext)


def make_tool(toolpath_object: CommentedMap, loadingContext: LoadingContext) -> Process:  # noqa: N803
    """What cwltool asks for each process of a workflow."""
    if toolpath_object.get("class") == "CommandLineTool":
        return SafelyCachedTool(toolpath_object, loadingContext)
    return default_make_tool(toolpath_object, loadingContext)


def inputs_digest(command: Any, inputs: Any) -> str:
    """The same in every attempt: what is random, the ids of embedded tools and file literals, is left out."""
    text = json.dumps(_lasting([command, inputs]), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _lasting(item)
            for key, item in value.items()
            if not (key in ("id", "location", "path") and isinstance(item, str) and item.startswith("_:"))
        }
    return [_lasting(item) for item in value] if isinstance(value, list) else value
