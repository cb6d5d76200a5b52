"""A run behind HTTP: answers for whole inputs, and sessions that are answered part by part.

`limits` and `keys` say what is allowed, `intake` reads what clients send, `model` is a run that is served, `batching`
computes what waits together, `sessions` keeps streams, `app` is all of it as FastAPI, `server` runs it.
"""

from __future__ import annotations
