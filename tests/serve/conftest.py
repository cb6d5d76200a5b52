"""One server for the tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve.serving import Client, classifier, language, regressor, served, serving, tagger


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    models = served(moods=classifier(), story=language(), sums=regressor(), tags=tagger())
    with serving(models) as found:
        yield found
