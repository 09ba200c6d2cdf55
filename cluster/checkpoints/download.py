"""One file over HTTP, resumed where an earlier download of it stopped."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from cluster.checkpoints.errors import SourceUnavailable
from cluster.checkpoints.pinned import CHUNK, PinnedFile
from cluster.checkpoints.progress import Progress
from cluster.http_proxies import open_url

SILENCE_S = 20.0
"""Longest wait for a connection and for each next piece of it."""


def download(url: str, file: PinnedFile, target: Path, report: Progress) -> Path:
    """Fetches `url` to `target`, which appears only once its SHA-256 is right. Raises SourceUnavailable."""
    if file.flaw(target) is None:
        return target
    part = target.with_name(target.name + ".part")
    if part.is_file() and part.stat().st_size > file.size:
        part.unlink()
    try:
        _append(url, file, part, report)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SourceUnavailable(f"{url}: {reason}") from error
    if found := file.flaw(part):
        if part.stat().st_size >= file.size:
            part.unlink()
        raise SourceUnavailable(f"{url}: {found}")
    return part.replace(target)


def _append(url: str, file: PinnedFile, part: Path, report: Progress) -> None:
    have = part.stat().st_size if part.is_file() else 0
    if have == file.size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with open_url(request, SILENCE_S) as answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out, report.transfer(file.name, file.size) as advance:
            while chunk := answer.read(CHUNK):
                out.write(chunk)
                done += len(chunk)
                advance(done)
