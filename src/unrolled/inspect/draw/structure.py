"""What a network is made of, read from the user's own model: blocks from its input up to its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from unrolled import cells
from unrolled.cell import Program, trace
from unrolled.errors import ArgumentError
from unrolled.layers import Recurrent, Unrolled
from unrolled.models import (
    Embedding,
    FrameEncoder,
    LanguageNetwork,
    SequenceNetwork,
    TagNetwork,
    TranslationNetwork,
    WordEncoder,
)
from unrolled.models.caption import CaptionNetwork
from unrolled.models.forecast import ForecastNetwork
from unrolled.models.transcription import TranscriptionNetwork


@dataclass(frozen=True)
class Block:
    """One kind of box, the same at every step that has it.

    `kind`: map (each step by itself), recurrent, wide (over all steps), field (neighbours linked), look (reads what
    the source holds), past and ahead (only at the steps of the input, or after it). `width` numbers come out at a step;
    `joins` neighbouring steps become one before it; `pools`: all steps become one; `last`: the last is read alone.
    """

    kind: str
    name: str
    detail: str
    width: int
    parameters: int = 0
    program: Program | None = None
    both: bool = False
    joins: int = 1
    pools: bool = False
    last: bool = False


@dataclass(frozen=True)
class Chain:
    """Blocks from an input at every step up to answers.

    `answers`: each (at every step), next (at every step, of the step to come), one, ahead (after the input), text (of
    another length). `end` is the name of the last step.
    """

    symbol: str
    reads: str
    blocks: tuple[Block, ...]
    answer: str = "y"
    answers: str = "each"
    says: str = ""
    end: str = "T"


@dataclass(frozen=True)
class Structure:
    """A whole network; `source` is a second chain that is read first, `start` whether its last states are handed on."""

    name: str
    shape: str
    chain: Chain
    source: Chain | None = None
    start: str = ""
    fed: str = ""
    parameters: int = 0
    steps: int | None = None


def structure_of(model: Any) -> Structure:
    """The structure of a layer, a network, a task's model or a fitted estimator.

    Raises ArgumentError for anything that holds no recurrent layer, or several of which none stands for the whole.
    """
    model = _module(model)
    for kind, read in _READERS.items():
        if isinstance(model, kind):
            return read(model)
    inside = [m for m in model.modules() if isinstance(m, (Recurrent, nn.RNNBase))]
    if len(inside) != 1:
        found = "no recurrent layer" if not inside else f"{len(inside)} recurrent layers"
        raise ArgumentError(f"{type(model).__name__} holds {found}; draw one, such as draw(Recurrent(cell, 8, 16)).")
    return structure_of(inside[0])


def programs_of(structure: Structure) -> list[Program]:
    """The cells of a network, each once."""
    chains = [c for c in (structure.source, structure.chain) if c is not None]
    return list(dict.fromkeys(b.program for c in chains for b in c.blocks if b.program is not None))


def count(module: nn.Module) -> int:
    """Numbers that are learnt."""
    return sum(p.numel() for p in module.parameters())


def _module(model: Any) -> nn.Module:
    if getattr(model, "task", None) and not hasattr(model, "module"):  # an estimator, which has its model once fitted
        if not hasattr(model, "model_"):
            raise ArgumentError(f"{type(model).__name__} was not fitted yet; call fit first.")
        model = model.model_
    model = getattr(model, "module", model)
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"a {type(model).__name__} cannot be drawn; give a cell, a layer, a network or an estimator."
        )
    return model


# ---- blocks


def recurrent_blocks(layer: Recurrent, name: str = "layer", *, joins: int = 1) -> list[Block]:
    """A block for each layer of a stack."""
    blocks = []
    for k, one in enumerate(layer.stack):
        sizes = one.forwards.sizes
        said = f"{sizes.hidden} units" if sizes.output == sizes.hidden else f"{sizes.hidden} units, {sizes.output} out"
        said += " each way" if layer.bidirectional else ""
        said += ", + its input" if one.residual else ""
        said += f", {joins} steps become one" if joins > 1 and k == 0 else ""
        title = f"{name} {k + 1}" if len(layer.stack) > 1 else name
        many = joins if k == 0 else 1
        blocks.append(
            Block("recurrent", title, said, one.output_size, count(one), layer.program, layer.bidirectional, many)
        )
    return blocks


def _linear(name: str, layer: nn.Module, kind: str = "map", **more: Any) -> Block:
    weight = cast("Any", layer).weight
    return Block(kind, name, f"{weight.shape[1]} → {weight.shape[0]}", weight.shape[0], count(layer), **more)


def _embedding(embed: nn.Module) -> Block:
    if isinstance(embed, Embedding):
        size, width = embed.weight.shape
        return Block("map", "embedding", f"{size:,} × {width}", width, count(embed))
    width = getattr(embed, "output_size", 0)
    names = {FrameEncoder: "frame encoder", WordEncoder: "word encoder"}
    return Block("map", names.get(type(embed), "encoder"), "convolutions" if isinstance(embed, FrameEncoder) else "",
                 width, count(embed))  # fmt: skip


def _reads(embed: nn.Module | None, width: int) -> str:
    if isinstance(embed, Embedding):
        return f"one of {len(embed.weight):,} symbols"
    kinds = {FrameEncoder: "a frame of a film", WordEncoder: "a word"}
    return kinds.get(type(embed), f"{width} number{'s' * (width != 1)}") if embed is not None else _numbers(width)


def _numbers(width: int) -> str:
    return f"{width} number{'s' * (width != 1)}"


# ---- networks


def _layer(layer: Recurrent, name: str = "Recurrent", steps: int | None = None) -> Structure:
    chain = Chain("x", _numbers(layer.input_size), tuple(recurrent_blocks(layer)), says=_numbers(layer.output_size))
    return Structure(name, "many to many, aligned", chain, parameters=count(layer), steps=steps)


def _unrolled(model: Unrolled) -> Structure:
    return _layer(model.layer, f"{len(model.steps)} steps without a loop", len(model.steps))


def _torch(layer: nn.RNNBase) -> Structure:
    """torch.nn's own layers and our drop-ins for them."""
    names = {"RNN_TANH": cells.Elman("tanh"), "RNN_RELU": cells.Elman("relu"), "GRU": cells.GRU()}
    lstm = cells.ProjectedLSTM() if layer.proj_size else cells.LSTM()
    program = trace(names.get(layer.mode, lstm))
    ways, out = 1 + layer.bidirectional, layer.proj_size or layer.hidden_size
    blocks = []
    for k in range(layer.num_layers):
        title = f"layer {k + 1}" if layer.num_layers > 1 else "layer"
        said = f"{layer.hidden_size} units" + " each way" * layer.bidirectional
        held = sum(p.numel() for name, p in layer.named_parameters() if f"_l{k}" in f"{name}_".replace("_reverse", ""))
        blocks.append(Block("recurrent", title, said, ways * out, held, program, layer.bidirectional))
    chain = Chain("x", _numbers(layer.input_size), tuple(blocks), says=_numbers(ways * out))
    return Structure(type(layer).__name__, "many to many, aligned", chain, parameters=count(layer))


def _sequence(model: SequenceNetwork) -> Structure:
    blocks = [] if model.embed is None else [_embedding(model.embed)]
    width = model.recurrent.input_size
    if model.front is not None:
        many, convolution = len(model.front.convolutions), cast("nn.Conv1d", model.front.convolutions[0])
        width = convolution.in_channels
        said = f"{convolution.kernel_size[0]} steps wide"
        said += f", stride {model.front.stride}" if model.front.stride > 1 else ""
        title = f"{many} convolution{'s' * (many > 1)}"
        blocks.append(Block("wide", title, said, model.front.output_size, count(model.front)))
    blocks += recurrent_blocks(model.recurrent)
    pooling = model.pooling
    last = "last step of each direction" if pooling.bidirectional else "last step"
    names = {"last": last, "mean": "mean over the steps", "max": "largest over the steps",
             "attention": "mean under attention"}  # fmt: skip
    blocks.append(Block("wide", names[pooling.kind], "", pooling.size, count(pooling), both=pooling.bidirectional,
                        pools=True, last=pooling.kind == "last"))  # fmt: skip
    blocks.append(_linear("output", model.output))
    chain = Chain(
        "x", _reads(model.embed, width), tuple(blocks), answers="one", says=_numbers(model.output.out_features)
    )
    return Structure("SequenceNetwork", "many to one", chain, parameters=count(model))


def _language(model: LanguageNetwork) -> Structure:
    blocks = [_embedding(model.embedding), *recurrent_blocks(model.recurrent)]
    if model.project is not None:
        blocks.append(_linear("projection", model.project))
    size, width = model.vocabulary_size, model.project.out_features if model.project else model.recurrent.output_size
    held = 0 if model.tied else count(model.output)
    said = "the embedding's matrix" if model.tied else f"{width} → {size:,}"
    held += size if model.tied else 0
    blocks.append(Block("map", "softmax", said, size, held))
    chain = Chain("x", f"one of {size:,} symbols", tuple(blocks), answers="next", says="the next symbol")
    fed = "when it writes, each answer is the next input"
    return Structure("LanguageNetwork", "many to many, a step ahead", chain, fed=fed, parameters=count(model))


def _tag(model: TagNetwork) -> Structure:
    blocks = [] if model.encoder is None else [_embedding(model.encoder)]
    blocks += [*recurrent_blocks(model.recurrent), _linear("output", model.output)]
    if model.crf is not None:
        size = len(model.crf.start)
        blocks.append(Block("field", "random field", f"{size} × {size} transitions", size, count(model.crf)))
    says = f"one of {model.output.out_features} labels"
    chain = Chain("x", _reads(model.encoder, model.recurrent.input_size), tuple(blocks), says=says)
    return Structure("TagNetwork", "many to many, aligned", chain, parameters=count(model))


def _translation(model: TranslationNetwork) -> Structure:
    size = len(model.target.weight)
    source = Chain("x", f"one of {len(model.source.weight):,} units",
                   (_embedding(model.source), *recurrent_blocks(model.encoder, "encoder")), end="S")  # fmt: skip
    tied = model.output.weight is model.target.weight
    target = _embedding(model.target)
    if model.source is model.target:
        target = Block("map", "embedding", "the source's too", target.width)
    attention = model.attention
    blocks = (
        target,
        *recurrent_blocks(model.decoder, "decoder"),
        Block("look", "attention", attention.kind, attention.memory_size, count(attention)),
        _linear("tanh", model.join),
        Block("map", "softmax", "the embedding's matrix" if tied else f"{model.width} → {size:,}", size,
              size if tied else count(model.output)),
    )  # fmt: skip
    chain = Chain("y", f"one of {size:,} units", blocks, answers="next", says="the next unit")
    fed = "when it translates, each answer is the next input" + ("; so is what tanh put out" * model.input_feeding)
    shape = "many to many, of another length"
    return Structure("TranslationNetwork", shape, chain, source, "last states", fed, count(model))


def _caption(model: CaptionNetwork) -> Structure:
    encoder, size = model.encoder, len(model.embed.weight)
    name = "picture encoder" if encoder is not None else "features"
    held = count(model.norm) + (count(encoder) if encoder is not None else 0)
    width = model.region_size
    sees = Block("wide", name, "convolutions" if encoder is not None else "given", width, held)
    source = Chain("", "a picture", (sees,), end="R")
    attention = model.attention
    blocks = (
        _embedding(model.embed),
        Block("look", "+ picture", "its largest features", model.whole.out_features, count(model.whole)),
        *recurrent_blocks(model.recurrent),
        Block("look", "attention", attention.kind, attention.memory_size, count(attention)),
        _linear("tanh", model.join),
        _linear("softmax", model.output),
    )
    chain = Chain("y", f"one of {size:,} words", blocks, answers="next", says="the next word")
    fed = "when it writes, each word is the next input"
    return Structure("CaptionNetwork", "one to many", chain, source, fed=fed, parameters=count(model))


def _transcription(model: TranscriptionNetwork) -> Structure:
    blocks: list[Block] = []
    stages = cast("Iterable[Recurrent]", model.stages)
    for k, (stage, joins) in enumerate(zip(stages, model.reductions, strict=True)):
        title = f"stage {k + 1}" if len(model.stages) > 1 else "layer"
        blocks += recurrent_blocks(stage, title, joins=joins)
    size = model.output.out_features
    blocks += [_linear("softmax", model.output), Block("wide", "without repeats and blanks", "CTC", size, pools=True)]
    first = cast("Recurrent", model.stages[0])
    reads = _numbers(first.input_size // model.reductions[0])
    chain = Chain("x", reads, tuple(blocks), "y", "text", f"a text of {size - 1} symbols")
    return Structure("TranscriptionNetwork", "many to many, not aligned (CTC)", chain, parameters=count(model))


def _forecast(model: ForecastNetwork) -> Structure:
    shape = model.shape
    first = _linear("relu", model.read, "map" if shape.recursive else "past")
    blocks = [first, *recurrent_blocks(model.recurrent)]
    if model.attention is not None:
        said = f"{model.attention.kind}, to the past"
        blocks.append(Block("ahead", "attention", said, model.attention.memory_size, count(model.attention)))
    answers = "next" if shape.recursive else "ahead"
    blocks.append(_linear("output", model.output, "map" if shape.recursive else "ahead"))
    reads = f"{shape.segment} value{'s' * (shape.segment > 1)} of {shape.context}"
    says = f"the next {_values(shape.segment)}" if shape.recursive else f"{_values(shape.horizon)} ahead"
    chain = Chain("x", reads, tuple(blocks), answers=answers, says=says, end="C")
    fed = "in a forecast, draws of each answer are the next input" if shape.recursive else ""
    name = "many to many, a step ahead" if shape.recursive else "many to many, after the input"
    return Structure("ForecastNetwork", name, chain, fed=fed, parameters=count(model))


def _values(many: int) -> str:
    return f"{many} value{'s' * (many != 1)}"


_READERS: dict[type, Callable[[Any], Structure]] = {
    Recurrent: _layer,
    Unrolled: _unrolled,
    nn.RNNBase: _torch,
    SequenceNetwork: _sequence,
    LanguageNetwork: _language,
    TagNetwork: _tag,
    TranslationNetwork: _translation,
    CaptionNetwork: _caption,
    TranscriptionNetwork: _transcription,
    ForecastNetwork: _forecast,
}
