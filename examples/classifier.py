"""A text classifier with scikit-learn's conventions: train, measure, save, load, answer."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import unrolled as ur

GOOD = ("wonderful", "charming", "clever", "moving", "bright", "funny")
BAD = ("dull", "clumsy", "tiresome", "hollow", "noisy", "bland")
THINGS = ("plot", "cast", "music", "ending", "dialogue", "picture")


def review(rng: random.Random) -> tuple[str, str]:
    """A sentence and its label; a `not` in front of the adjective turns the meaning round, so order matters."""
    thing, good, negated = rng.choice(THINGS), rng.random() < 0.5, rng.random() < 0.4
    adjective = rng.choice(GOOD if good else BAD)
    text = f"the {thing} was {'not ' if negated else ''}{adjective}, I must say"
    return text, "positive" if good != negated else "negative"


def main() -> float:
    """Fit on 600 sentences, score on 200 others."""
    rng = random.Random(0)
    texts, labels = zip(*(review(rng) for _ in range(800)), strict=True)
    model = ur.Classifier(cell="gru", hidden=16, input_dropout=0.0, epochs=12, learning_rate=0.01)
    model.fit(texts[:600], labels[:600])
    accuracy = float(model.score(texts[600:], labels[600:]))
    print(f"accuracy on sentences that it has not seen: {accuracy:.1%}")
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "run")
        loaded = ur.load(Path(folder) / "run")
        for text in ("the cast was not clumsy, I must say", "the music was not charming, I must say"):
            print(f"{loaded.predict([text])[0]:<9} {text}")
    return accuracy


if __name__ == "__main__":
    main()
