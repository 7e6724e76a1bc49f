"""``harness watch``: jobs of a store as a page that shows what is new, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from typing import Annotated

import typer

from ..errors import HarnessError, suggest
from .options import Results, err, say

app = typer.Typer()

_PATIENCE_SECONDS = 3.0


@app.command()
def watch(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB]...", help="Names of jobs with results; without any, all, to choose from."),
    ] = None,
    results: Results = "results",
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Of this machine, where others may reach it; they need a token then."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 0,
    token: Annotated[
        bool, typer.Option("--token", help="Ask for a token on this machine, too: others may use it.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show jobs as a live page: what their runs do, and the report of what is there. Read-only; Ctrl-C ends it."""
    from ..storage.query import open_results

    known = open_results(results).store.jobs()
    chosen = tuple(dict.fromkeys(jobs or ()))
    for job in chosen:
        if job not in known:
            raise HarnessError(f"no job '{job}' in {results}.{suggest(job, known)}")

    from ..watch.access import Access
    from ..watch.pages import PAGES
    from ..watch.server import Server
    from ..watch.site import Site

    access = Access.to(host, with_token=token)
    site = Site(results, chosen, PAGES)
    server = Server(host, port, access=access, site=site)
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):  # the way to end it, so no error
        signal.signal(signum, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(server.url)
    if access.is_open:
        say("whoever knows this address sees the results, and what is sent is not encrypted", to=err)
    say("Ctrl-C ends it", to=err)
    if open_:
        _open(server.url)
    ended.wait()
    server.shutdown()
    server.server_close()
    if not site.close(seconds=_PATIENCE_SECONDS):
        os._exit(0)  # a store that does not answer keeps nobody waiting; there is nothing to be put in order


def _open(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        say("no browser was found; open the address above in one", to=err)
