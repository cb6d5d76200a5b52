"""Where threads that share out the units of a row wait for each other, once for each product."""

from __future__ import annotations

from llvmlite import ir

from unrolled.engine.cpu.tile import number
from unrolled.engine.cpu.vector import I32, I64

# Rounds of spinning, some microseconds, after which a thread offers its core: the one waited for may need it.
PATIENCE = 2_000
PAUSE = {"x86_64": ("llvm.x86.sse2.pause", ()), "aarch64": ("llvm.aarch64.hint", (1,))}


def meet(module: ir.Module) -> ir.Function:
    """Add 1 to the counter at an address and wait until it has reached `count`; `give_way` is sched_yield, or 0."""
    found = module.globals.get("meet")
    if found is not None:
        return found
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 3), "meet")
    function.linkage = "internal"
    function.attributes.add("noinline")
    address, count, give_way = function.args
    entry, test, again, offer, end = (
        function.append_basic_block(n) for n in ("entry", "test", "again", "offer", "end")
    )
    b = ir.IRBuilder(entry)
    counter = b.inttoptr(address, I64.as_pointer())
    b.atomic_rmw("add", counter, number(1), "acq_rel")
    b.branch(test)
    b.position_at_end(test)
    rounds = b.phi(I64)
    rounds.add_incoming(number(0), entry)
    reached = b.load_atomic(counter, "acquire", 8, typ=I64)
    b.cbranch(b.icmp_signed(">=", reached, count), end, again)
    b.position_at_end(again)
    family = str(module.triple).split("-")[0].replace("arm64", "aarch64")
    if family in PAUSE:
        name, arguments = PAUSE[family]
        signature = ir.FunctionType(ir.VoidType(), [I32] * len(arguments))
        pause = module.globals.get(name) or ir.Function(module, signature, name)
        b.call(pause, [ir.Constant(I32, a) for a in arguments])
    patient = b.icmp_signed("<", rounds, number(PATIENCE))
    following = b.add(rounds, number(1))
    b.cbranch(b.or_(patient, b.icmp_signed("==", give_way, number(0))), test, offer)
    rounds.add_incoming(following, again)
    b.position_at_end(offer)
    b.call(b.inttoptr(give_way, ir.FunctionType(I32, []).as_pointer()), [])
    b.branch(test)
    rounds.add_incoming(following, offer)
    b.position_at_end(end)
    b.ret_void()
    return function
