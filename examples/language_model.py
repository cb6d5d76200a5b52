"""A character language model: train on a text that it makes, then score, complete and write."""

from __future__ import annotations

import math
import random

import unrolled as ur

SUBJECTS = ("the cat", "a dog", "the old man", "my sister", "a bird")
VERBS = ("sees", "likes", "follows", "hears", "forgets")


def story(sentences: int) -> str:
    """Random sentences of a small grammar."""
    rng = random.Random(0)
    return "".join(f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(SUBJECTS)}.\n" for _ in range(sentences))


def main() -> float:
    """Train for some seconds, let it write, and return its loss in nats for each character of new sentences."""
    text = story(2000)
    model = ur.LanguageModel(units="char", hidden=64, batch_size=16, epochs=6, learning_rate=0.01).fit(text)
    print(model.generate("the cat ", length=120, temperature=0.7, seed=1))
    for word, probability in model.complete("the cat ", count=5):
        print(f"{probability:6.1%}  {word}")
    loss = -model.score(story(2200)[len(text) :])
    print(f"{loss:.3f} nats a character; choosing among the words alone costs {limit():.3f}")
    return loss


def limit() -> float:
    """The best loss that there can be: ln of the choices in a sentence over its mean length."""
    choices = 2 * math.log(len(SUBJECTS)) + math.log(len(VERBS))
    mean = [sum(map(len, words)) / len(words) for words in (SUBJECTS, VERBS)]
    return choices / (2 * mean[0] + mean[1] + len("  .\n"))


if __name__ == "__main__":
    main()
