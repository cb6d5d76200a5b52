from __future__ import annotations

import pytest

from unrolled.errors import UsageError
from unrolled.tasks import TASKS, ClassifyOptions, LanguageOptions
from unrolled.tune import Choice, Range, default_space, parse_space


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_space_that_its_options_hold(name: str) -> None:
    space = default_space(name, TASKS[name].options, given=("hidden",))
    assert {"dropout", "learning_rate", "batch_size", "cell"} <= {dimension.name for dimension in space}
    assert "hidden" not in {dimension.name for dimension in space}


def test_a_space_is_read_and_written_the_same() -> None:
    text = "hidden=64..512,learning_rate=0.0001..0.03:log,cell=lstm|gru,bidirectional=true|false,dropout=0|0.25"
    space = parse_space(text.replace("learning_rate", " --learning-rate"), "classify", ClassifyOptions)
    assert space == (
        Range("hidden", 64, 512, whole=True),
        Range("learning_rate", 1e-4, 3e-2, log=True),
        Choice("cell", ("lstm", "gru")),
        Choice("bidirectional", (True, False)),
        Choice("dropout", (0.0, 0.25)),
    )
    assert ",".join(map(str, space)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hiden=4..8", "hiden is no option of classify (nearest: 'hidden')"),
        ("hidden=8..4", "hidden=8..4 does not rise"),
        ("hidden=a..4", "hidden needs a whole number, such as 64, where 'a' stands"),
        ("dropout=nan..1", "dropout needs a number, such as 0.5 or 1e-3, where 'nan' stands"),
        ("hidden=0..4", "hidden=0 must be at least 1"),
        ("dropout=0..1", "dropout=1 must be from 0 to below 1"),
        ("clip=-1..1", "clip=-1 must be at least 0"),
        ("learning_rate=0..1", "learning_rate=0 must be above 0"),
        ("learning_rate=0..1:log", "has no logarithm at 0"),
        ("learning_rate=1..2:exp", "only :log is known"),
        ("cell=lsmt|gru", "did you mean 'lstm'?"),
        ("cell=lstm", "needs two or more different values"),
        ("cell=a..b", "cell is no number, so it has no range"),
        ("text=a|b", "text cannot be searched, because it says what is read or measured"),
        ("validation=0.1..0.2", "validation cannot be searched"),
        ("target=a|b", "target is no option of classify"),
        ("pooling=max|means", "pooling cannot be 'means' (nearest: 'mean')"),
        ("bidirectional=yes|no", "is neither true nor false"),
        ("hidden", "'hidden' is neither a range nor a choice"),
        ("hidden=3..4,hidden=5..6", "hidden is there twice"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_space(text, "classify", ClassifyOptions)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_units_of_a_language_model_decide_what_is_measured() -> None:
    with pytest.raises(UsageError, match="units cannot be searched"):
        parse_space("units=char|word", "language", LanguageOptions)
    assert parse_space("units=char|word", "classify", ClassifyOptions)
