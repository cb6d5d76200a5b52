"""`unrolled serve RUN ...`: runs behind HTTP and WebSocket."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unrolled.cli.output import Output
from unrolled.errors import RunError, UsageError
from unrolled.serve.limits import Limits

Runs = Annotated[list[str], Parameter(help="run folders that `unrolled train` wrote; NAME=RUN gives one a name")]
Bounds = Annotated[Limits, Parameter(name="*")]


def serve(
    runs: Runs,
    /,
    *,
    host: Annotated[
        str, Parameter(help="address to listen at; others than this machine's own need a key")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="port to listen at; 0 takes a free one")] = 8000,
    keys: Annotated[Path | None, Parameter(help="file with an API key a line; default: those in UNROLLED_KEYS")] = None,
    save: Annotated[Path | None, Parameter(help="folder to save streams to, so that they outlive the server")] = None,
    save_every: Annotated[float, Parameter(help="seconds between two savings of a stream that goes on")] = 10.0,
    keep: Annotated[float, Parameter(help="seconds that a saved stream is kept")] = 86_400.0,
    limits: Bounds = Limits(),  # noqa: B008 - frozen
    output: Output = Output(),
) -> None:
    """Answer requests for whole inputs and streams: POST /predict, WebSocket /stream, GET /models, /openapi.json.

    SIGTERM or Ctrl-C ends it: what is under way is answered, and streams are saved where --save says so.
    """
    for name, seconds in (("save-every", save_every), ("keep", keep)):
        if not seconds > 0:
            raise UsageError(f"--{name} is {seconds:g}; give a number of seconds above 0.")
    _need_libraries()
    from unrolled.serve.app import build_app
    from unrolled.serve.guard import LOOPBACK
    from unrolled.serve.keys import read_keys
    from unrolled.serve.logs import start_logs
    from unrolled.serve.model import open_models
    from unrolled.serve.server import bind, check_address, make_server
    from unrolled.serve.store import Store

    known = read_keys(keys)
    check_address(host, known)
    store = None if save is None else Store(save, keep=keep, most=10 * limits.max_sessions)
    models = open_models(runs)
    start_logs(sys.stderr, 30 if output.quiet else 20)
    hosts = None if len(known) else LOOPBACK
    app = build_app(models, limits=limits, keys=known, store=store, save_every=save_every, hosts=hosts)
    listener = bind(host, port)

    def listening(address: str) -> None:
        names = ", ".join(f"{served.name} ({served.model.task})" for served in models.values())
        output.result({"address": address, "models": list(models)}, f"{names} at {address} (Ctrl-C ends it)")
        sys.stdout.flush()

    make_server(app, limits, listening).run([listener])


def _need_libraries() -> None:
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise RunError(
            f"serving needs {error.name}, which is not installed; run \"pip install 'unrolled[serve]'\"."
        ) from None
