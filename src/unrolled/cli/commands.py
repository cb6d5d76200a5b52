"""What `unrolled --help` says of each command, without loading any."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A line of what it does, what stands behind its name, and command lines as people write them."""

    summary: str
    arguments: str
    examples: tuple[str, ...]

    def usage(self, name: str) -> str:
        """The first line of its help."""
        return f"Usage: unrolled {name} {self.arguments}"


def block(examples: tuple[str, ...]) -> str:
    """Markdown at the end of a help: command lines, one a line."""
    return "  \n".join(["For example:", *(f"`{line}`" for line in examples)])


COMMANDS = {
    "train": Command(
        "Train a model on a file and write a run folder.",
        "TASK DATA [OPTIONS]",
        ("unrolled train language shakespeare.txt --max-time 3m", "unrolled train classify --help"),
    ),
    "tune": Command(
        "Search for the best hyper-parameters: trials that are runs, in a study that goes on.",
        "TASK DATA [OPTIONS]",
        ("unrolled tune classify reviews.csv --max-time 1h --out study", "unrolled tune classify --help"),
    ),
    "predict": Command(
        "Answer for a text, a file or standard input.",
        "RUN [SOURCE] [OPTIONS]",
        (
            'unrolled predict runs/reviews --literal "not bad at all"',
            "unrolled predict runs/sales sales.csv --format csv",
        ),
    ),
    "stream": Command(
        "Answer while one input is arriving, line by line; stop, and go on later.",
        "RUN [SOURCE] [OPTIONS]",
        ("tail -f sensors.csv | unrolled stream runs/room", "unrolled stream runs/room today.csv --state room.state"),
    ),
    "evaluate": Command(
        "Measure a run on a labelled file or a text.",
        "RUN DATA [OPTIONS]",
        ("unrolled evaluate runs/reviews test.csv",),
    ),
    "generate": Command(
        "Let a language model write, unit by unit.",
        "RUN [OPTIONS]",
        ('unrolled generate runs/plays --prompt "ROMEO:" --length 300 --temperature 0.7',),
    ),
    "complete": Command(
        "List the likeliest next words, or the next symbols of a sequence, with their probabilities.",
        "RUN [TEXT] [OPTIONS]",
        ('unrolled complete runs/plays "to be or not to"', "unrolled complete runs/clicks --file now.csv --count 3"),
    ),
    "reorder": Command(
        "Put jumbled words into their likeliest order.",
        "RUN [TEXT] [OPTIONS]",
        ('unrolled reorder runs/plays "policy is the best honesty"',),
    ),
    "score": Command(
        "Say how likely a language model finds each text.",
        "RUN [SOURCE] [OPTIONS]",
        ('unrolled score runs/plays --literal "to be or not to be"', "unrolled score runs/plays lines.txt --rank"),
    ),
    "transcribe": Command(
        "Write down what a sound, pen strokes or a picture of a line says.",
        "RUN SOURCE [OPTIONS]",
        ("unrolled transcribe runs/speech clip.wav --align", "unrolled transcribe runs/speech clips.csv --beam 16"),
    ),
    "translate": Command(
        "Translate texts, or standard input line by line.",
        "RUN [SOURCE] [OPTIONS]",
        ('unrolled translate runs/spanish --literal "Hola" --best 3', "unrolled translate runs/spanish letter.txt"),
    ),
    "embed": Command(
        "Turn each text into a vector.",
        "RUN [SOURCE] [OPTIONS]",
        ("unrolled embed runs/reviews new.csv --out vectors.npy",),
    ),
    "draw": Command(
        "Draw the network of a run rolled and unrolled, and the inside of its cell.",
        "RUN [OPTIONS]",
        ("unrolled draw runs/reviews", "unrolled draw lstm-peephole --theme dark --out peephole.png"),
    ),
    "cells": Command(
        "List the cells, or print the equations of one.",
        "[NAME] [OPTIONS]",
        ("unrolled cells GRU", "unrolled cells mine.py:Mine"),
    ),
    "inspect": Command(
        "Look inside a run: gradient through time, memory, units, why it answers so.",
        "RUN [SOURCE] [OPTIONS]",
        ("unrolled inspect runs/plays act.txt --out report.html", "unrolled inspect runs/gru --compare runs/lstm"),
    ),
    "serve": Command(
        "Put runs behind HTTP and WebSocket: whole inputs, and streams.",
        "RUN [RUN ...] [OPTIONS]",
        ("unrolled serve runs/reviews", "unrolled serve mood=runs/reviews runs/plays --port 8080 --save sessions"),
    ),
    "export": Command(
        "Write a run as ONNX models that were tried in ONNX Runtime.",
        "RUN [OPTIONS]",
        ("unrolled export runs/reviews --to onnx", "unrolled export runs/reviews --int8 --data test.csv --out small"),
    ),
    "bench": Command(
        "Time the engines on this machine.",
        "[OPTIONS]",
        ("unrolled bench", "unrolled bench --cell lstm mine.py:Mine --shapes 100x32x64x128"),
    ),
    "demo": Command(
        "Train a character model for a minute and let it write.",
        "[OPTIONS]",
        ("unrolled demo", "unrolled demo --max-time 3m --out runs/demo"),
    ),
}
