"""The bodies of requests: JSON, and files that are put into a folder of their own under names of ours."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from unrolled.errors import DataError
from unrolled.serve.answers import Options, options_of
from unrolled.serve.context import Context
from unrolled.serve.intake import Item, of_rows
from unrolled.serve.messages import as_object, parse
from unrolled.serve.model import Served
from unrolled.serve.refusal import Refusal, sentence

_FIELDS = 4


def media_type(request: Request) -> str:
    """What the body says that it is."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_object(request: Request, known: tuple[str, ...], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON object that is the body; without a body an empty one. Raises Refusal."""
    body = await request.body()
    if not body and not needed:
        return {}
    if media_type(request) != "application/json":
        raise Refusal(415, "JSON is needed; send it with `Content-Type: application/json`.")
    return as_object(parse(body), known, needed)


async def read_inputs(request: Request, context: Context, served: Served) -> tuple[list[Item], Options]:
    """The inputs of a request to predict, as JSON or as files, and its options. Raises Refusal."""
    kind = media_type(request)
    if kind == "multipart/form-data":
        async with request.form(max_files=context.limits.max_inputs, max_fields=_FIELDS) as form:
            return await context.work.aside(lambda: _of_files(form, context, served))
    if kind != "application/json":
        raise Refusal(415, "Send inputs as application/json, or files as multipart/form-data.")
    body = await request.body()
    return await context.work.aside(lambda: _of_json(body, context, served))


def _of_json(body: bytes, context: Context, served: Served) -> tuple[list[Item], Options]:
    given = as_object(parse(body), ("inputs", "options"), ("inputs",))
    options = options_of(served.model.task, given.get("options"))
    limits = context.limits
    try:
        return served.intake.items(given["inputs"], limits.max_inputs, limits.max_steps), options
    except DataError as error:
        raise of_rows(error) from None
    except MemoryError:
        raise _too_much() from None


def _too_much() -> Refusal:
    return Refusal(413, "The input takes more memory than there is; send less at once.")


def _of_files(form: FormData, context: Context, served: Served) -> tuple[list[Item], Options]:
    strange = next((name for name in form if name not in ("file", "options")), None)
    if strange is not None:
        raise Refusal(422, "The form has a field that is not known; 'file' and 'options' can be given.")
    uploads = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
    if not uploads:
        raise Refusal(422, "The form has no file; send at least one in the field 'file'.")
    given = form.get("options")
    options = options_of(served.model.task, parse(given) if isinstance(given, str) else None)
    suffixes = [served.intake.suffix(part.filename or "") for part in uploads]
    limits = context.limits
    with tempfile.TemporaryDirectory(prefix="unrolled-") as name:
        folder = Path(name)
        try:
            paths = [
                _put(part, folder, place, suffix)
                for place, (part, suffix) in enumerate(zip(uploads, suffixes, strict=True), 1)
            ]
            return served.intake.files(paths, limits.max_inputs, limits.max_steps), options
        except DataError as error:
            raise Refusal(422, sentence(str(error).replace(f"{folder}/", ""))) from None
        except MemoryError:
            raise _too_much() from None


def _put(part: UploadFile, folder: Path, place: int, suffix: str) -> Path:
    path = folder / f"file-{place}{suffix}"
    with path.open("xb") as file:
        shutil.copyfileobj(part.file, file)
    return path
