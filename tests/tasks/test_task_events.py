from __future__ import annotations

from unrolled.tasks.events import Skipped, Split


def test_parts_are_counted() -> None:
    assert str(Split(1234, 100, 7, "series", "x.csv")) == (
        "1,234 series to train on, 100 to validate on (x.csv), 7 for the test"
    )
    assert str(Split(67, 0, 0, "series", "none")) == "67 series to train on, none held out to validate on"


def test_what_was_left_out_is_counted_and_listed() -> None:
    assert str(Skipped(("a.csv, row 3: it is empty", "a.csv, row 7: no number"))).splitlines() == [
        "warning: 2 left out because they cannot be used:",
        "  a.csv, row 3: it is empty",
        "  a.csv, row 7: no number",
    ]
    many = str(Skipped(tuple(f"row {n}" for n in range(1234)))).splitlines()
    assert len(many) == 22
    assert many[0].startswith("warning: 1,234 left out")
    assert many[-1] == "  and 1,214 more"
