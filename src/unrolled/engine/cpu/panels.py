"""The matrices of a call, packed into the panels that its kernel multiplies by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from unrolled.engine.cpu import room, team
from unrolled.engine.cpu.compiler import Compiled, tools
from unrolled.engine.cpu.kernel import panel_blocks
from unrolled.engine.cpu.large import worth
from unrolled.engine.cpu.pack import ENTRY
from unrolled.engine.cpu.schedule import Group, Stage


def packed(
    code: Compiled,
    groups: list[tuple[Stage, Group]],
    matrix: Callable[[Group, str], Tensor],
    padded: Mapping[str, int],
) -> list[Tensor]:
    """One tensor (panels, inner extent, vectors of a tile) for each group, all filled in one call.

    `matrix` gives the matrix (to, from) of a group's name, `padded` a width filled up to whole vectors.
    """
    panels: list[Tensor] = []
    entries: list[int] = []
    sources = [[matrix(group, name) for name in group.names] for _, group in groups]
    for (stage, group), parts in zip(groups, sources, strict=True):
        blocks, first = panel_blocks(code.target, stage), parts[0]
        lanes, results = code.lanes, len(group.results)
        # transposed matrices follow each other along the inner extent, others stand side by side
        units, inner = first.shape[::-1] if group.transposed else first.shape
        part = padded[group.depth[1]] if group.transposed else inner
        depth, wide = part * len(parts) if group.transposed else part, blocks * lanes * results
        panel = room.empty(-(-units // (blocks * lanes)), depth, wide, dtype=first.dtype)
        panels.append(panel)
        for k, source in enumerate(parts):
            per_unit, per_depth = source.stride()[::-1] if group.transposed else source.stride()
            start = k * part * wide if group.transposed else k * lanes
            entries += (
                source.data_ptr(), per_unit, per_depth, units, inner, part,
                panel.data_ptr() + start * panel.element_size(), depth * wide, wide, results * lanes, blocks,
                len(panel),
            )  # fmt: skip
    count, shares = len(entries) // len(ENTRY), worth(sum(p.numel() for p in panels))
    team.run(tools(code.dtype).pack, [team.table((count, k, shares, *entries)) for k in range(shares)])
    return panels
