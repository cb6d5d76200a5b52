"""The training loop: steps as torch takes them, best weights, early stopping, time limit, what goes wrong."""

from __future__ import annotations

import math
import signal

import pytest
import torch
from torch import nn

from train.toy import ROWS, WINDOW, Recorder, Source, Toy, equal, settings, weights
from unrolled.errors import ArgumentError, TrainingError
from unrolled.train import Checkpoints, Evaluation, LossOutput, Plan, Trainer, seeded


class Clock:
    """Seconds that pass only when somebody spends them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """Steps and evaluations take the time that a fake clock shows."""

    def __init__(self, clock: Clock, step: float, evaluation: float, first: float = 0.0) -> None:
        self.module = nn.Linear(WINDOW + 1, 1)
        self.clock, self.step, self.evaluation, self.first = clock, step, evaluation, first

    def loss(self, batch, carry) -> LossOutput:
        self.clock.now += self.step + self.first
        self.first = 0.0
        return LossOutput(self.module(batch.float()).square().mean(), len(batch))

    def evaluate(self) -> dict[str, float]:
        self.clock.now += self.evaluation
        return {"loss": self.module.weight.square().sum().item()}


def test_steps_are_those_of_a_plain_loop():
    ours, theirs = Toy(), Toy()
    options = settings(total_steps=8, evaluate_every=3, warmup=0, decay="constant", clip=0.05)
    Trainer(ours, Source(4), options).fit()

    with seeded(options.seed, 1):
        parameters = list(theirs.module.parameters())
        decayed = [p for p in parameters if p.ndim >= 2]
        rest = {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}
        optimiser = torch.optim.AdamW([{"params": decayed}, rest], lr=0.01, betas=options.betas, fused=True)
        best = (math.inf, {})
        for step in range(1, 9):
            if step in (1, 5):
                batches, carry = Source(4).epoch(step // 4), None
            optimiser.zero_grad()
            loss, _, carry = theirs.loss(next(batches), carry)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 0.05)
            optimiser.step()
            carry = ((type(carry[0][0])(*(s.detach() for s in carry[0][0])),),)
            if step % 3 == 0 or step == 8:
                state = torch.get_rng_state()
                theirs.module.eval()
                with torch.no_grad():
                    best = min(best, (theirs.evaluate()["loss"], weights(theirs.module)), key=lambda pair: pair[0])
                theirs.module.train()
                torch.set_rng_state(state)
    for name, weight in best[1].items():
        torch.testing.assert_close(weights(ours.module)[name], weight)


def test_the_state_is_carried_within_an_epoch_and_detached():
    seen = []

    class Watching(Toy):
        def loss(self, batch, carry):
            if self.module.training:
                seen.append(carry)
            return super().loss(batch, carry)

    Trainer(Watching(), Source(3), settings(total_steps=6)).fit()
    assert [carry is None for carry in seen] == [True, False, False] * 2
    assert not any(state.requires_grad for carry in seen if carry for state in carry[0][0])


def test_a_step_reports_what_it_did():
    toy, gradients = Toy(), []
    recorder = Recorder(lambda step: gradients.append([p.grad.clone() for p in toy.module.parameters()]))
    Trainer(toy, Source(5), settings(clip=0.01, warmup=4, total_steps=7), None, [recorder]).fit()
    first = recorder.steps[0]
    assert (first.step, first.epoch, first.weight, first.learning_rate) == (1, 0, ROWS * WINDOW, 0.01 / 4)
    assert recorder.steps[-1].epoch == 1
    assert recorder.steps[-1].learning_rate == pytest.approx(0.01 * 0.05)
    assert first.gradient_norm > 0.01
    assert nn.utils.get_total_norm(gradients[0]) == pytest.approx(0.01, rel=1e-4)
    assert torch.equal(first.batch, next(Source(5).epoch(0)))


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_callers_generator():
    toys = Toy(), Toy(), Toy()
    state = torch.get_rng_state()
    for toy, seed in zip(toys, (5, 5, 6), strict=True):
        torch.rand(seed)
        Trainer(toy, Source(), settings(seed=seed)).fit()
    assert equal(weights(toys[0].module), weights(toys[1].module))
    assert not equal(weights(toys[0].module), weights(toys[2].module))
    torch.rand(1)
    torch.set_rng_state(state)
    with seeded(0):
        torch.rand(10)
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluating_more_often_does_not_change_training():
    often, seldom = Recorder(), Recorder()
    for recorder, every in ((often, 1), (seldom, 9)):
        Trainer(Toy(), Source(), settings(evaluate_every=every), None, [recorder]).fit()
    assert [s.loss for s in often.steps] == [s.loss for s in seldom.steps]


@pytest.mark.parametrize(("metric", "best"), [("loss", 3), ("accuracy", 3)])
def test_best_weights_are_kept(metric, best):
    kept = {}

    class Watching(Toy):
        def evaluate(self):
            kept[self.evaluated + 1] = weights(self.module)
            return super().evaluate()

    toy = Watching(values=[float("nan"), 3.0, 1.0, 1.0, 2.0])
    result = Trainer(toy, Source(), settings(metric=metric)).fit()
    assert result.best_step == 4 * best
    assert result.metrics["loss"] == 1.0
    assert equal(weights(toy.module), kept[best])
    assert not toy.module.training


def test_early_best_is_provisional_until_the_training_settles():
    def kept(settle, values):
        return Trainer(Toy(values=values), Source(), settings(settle=settle)).fit().best_step

    assert kept(0.0, [3.0, 1.0, 2.0, 1.5, 1.7]) == 8
    assert kept(0.5, [3.0, 1.0, 2.0, 1.5, 1.7]) == 16
    assert kept(0.5, [3.0, 1.0, 2.0, 2.0, 2.1]) == 12
    assert kept(0.5, [3.0, 1.0, float("nan"), float("nan"), float("nan")]) == 8
    assert kept(1.0, [3.0, 1.0, 2.0, 1.5, 1.7]) == 17


def test_patience_ends_training():
    recorder = Recorder()
    toy = Toy(values=[3.0, 2.0, 2.5, 2.0, 0.0])
    result = Trainer(toy, Source(), settings(patience=2, total_steps=100), None, [recorder]).fit()
    assert (result.stopped, result.step, result.best_step, result.total_steps) == ("patience", 16, 8, 100)
    assert [e.best for e in recorder.events if isinstance(e, Evaluation)] == [True, True, False, False]
    assert recorder.events[-1] == result


def test_without_a_validation_part_the_last_weights_are_kept():
    toy = Toy()
    toy.evaluate = dict
    after = []
    recorder = Recorder(lambda step: after.append(weights(toy.module)))
    result = Trainer(toy, Source(), settings(), None, [recorder]).fit()
    assert (result.best_step, result.metrics) == (None, {})
    assert equal(weights(toy.module), after[-1])


def test_the_average_of_the_weights_is_evaluated_and_kept():
    def run(factor):
        toy, history, evaluated = Toy(), [], []
        history.append([p.detach().clone() for p in toy.module.parameters()])
        plain = toy.evaluate
        toy.evaluate = lambda: evaluated.append([p.detach().clone() for p in toy.module.parameters()]) or plain()
        recorder = Recorder(lambda step: history.append([p.detach().clone() for p in toy.module.parameters()]))
        Trainer(toy, Source(), settings(ema=factor, total_steps=6, evaluate_every=3), None, [recorder]).fit()
        return toy, history, evaluated

    toy, history, evaluated = run(0.3)
    average = history[0]
    for step, current in enumerate(history[1:]):
        decay = min(0.3, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, current, strict=True)]
    torch.testing.assert_close(evaluated[-1], average)
    kept = [p.detach() for p in toy.module.parameters()]
    assert any(all(torch.equal(a, b) for a, b in zip(kept, seen, strict=True)) for seen in evaluated)
    plain_history = run(None)[1]
    assert all(torch.equal(a, b) for a, b in zip(history[-1], plain_history[-1], strict=True))


@pytest.mark.parametrize("every", [None, 15])
@pytest.mark.parametrize(("step", "evaluation", "first"), [(0.1, 0.7, 0.0), (0.06, 0.1, 2.5), (1.4, 3.0, 0.0)])
def test_training_ends_at_the_time_limit(step, evaluation, first, every):
    clock, recorder = Clock(), Recorder()
    options = settings(total_steps=None, max_time=60.0, evaluate_every=every)
    result = Trainer(Slow(clock, step, evaluation, first), Source(), options, None, [recorder], clock=clock).fit()
    assert 50 < clock.now - 1000 <= 60 - evaluation
    assert 50 < result.seconds <= 60
    plans = [event for event in recorder.events if isinstance(event, Plan)]
    assert result.stopped in {"finished", "max_time"}
    assert [plan.total_steps for plan in plans] == [result.total_steps]
    assert recorder.steps[-1].learning_rate < 0.003
    evaluated = [event.step for event in recorder.events if isinstance(event, Evaluation)]
    assert evaluated == sorted(set(evaluated))
    assert evaluated[-1] == result.step


def test_making_batches_costs_time_too():
    clock = Clock()

    class Laborious(Source):
        def epoch(self, number, start=0):
            for batch in super().epoch(number, start):
                clock.now += 0.2
                yield batch

    options = settings(total_steps=None, max_time=60.0)
    result = Trainer(Slow(clock, 0.1, 0.2), Laborious(), options, clock=clock).fit()
    assert result.stopped == "finished"
    assert 50 < clock.now - 1000 <= 60


def test_time_before_training_counts():
    clock = Clock()
    options = settings(total_steps=None, max_time=60.0)
    Trainer(Slow(clock, 0.1, 0.2), Source(), options, clock=clock, started=clock.now - 20).fit()
    assert 30 < clock.now - 1000 <= 40


def test_a_machine_that_slows_down_is_stopped_at_the_limit():
    clock = Clock()
    toy = Slow(clock, 0.1, 0.2)

    def slower(step) -> None:
        toy.step = 0.1 if step.step < 100 else 0.5

    options = settings(total_steps=None, max_time=60.0)
    result = Trainer(toy, Source(), options, None, [Recorder(slower)], clock=clock).fit()
    assert result.stopped == "max_time"
    assert result.step < result.total_steps
    assert 57 < clock.now - 1000 <= 60 - 0.2


def test_resumed_time_limit_carries_out_the_plan_and_a_longer_one_makes_a_new_one(tmp_path):
    def run(limit, resume, slow_from=10**9):
        clock = Clock()
        toy = Slow(clock, 0.1, 0.2)
        late = Recorder(lambda step: setattr(toy, "step", 0.1 if step.step < slow_from else 0.5))
        options = settings(total_steps=None, max_time=limit)
        return Trainer(toy, Source(), options, tmp_path, [late], clock=clock).fit(resume), clock.now - 1000

    stopped, _ = run(20.0, False, slow_from=60)
    assert stopped.stopped == "max_time"
    resumed, _ = run(20.0, True)
    assert (resumed.stopped, resumed.step) == ("finished", stopped.total_steps)
    longer, spent = run(60.0, True)
    assert longer.seconds == pytest.approx(resumed.seconds + spent)
    assert longer.stopped == "finished"
    assert longer.resumed_from == resumed.step
    assert 50 < longer.seconds <= 60


def test_a_number_of_steps_beside_a_time_limit_is_the_plan():
    clock = Clock()
    result = Trainer(Slow(clock, 0.1, 0.1), Source(), settings(max_time=60.0), clock=clock).fit()
    assert (result.step, result.stopped) == (17, "finished")


class Poisoned(Toy):
    """From the `at`-th training step on something is not finite."""

    def __init__(self, at: int, poison) -> None:
        super().__init__()
        self.at, self.poison, self.count = at, poison, 0

    def loss(self, batch, carry):
        if self.module.training and torch.is_grad_enabled():
            self.count += 1
        self.module.dropout.poisoned = self.count >= self.at
        output = super().loss(batch, carry)
        return self.poison(output) if self.count >= self.at and self.poison else output


class Breaking(nn.Dropout):
    poisoned = False

    def forward(self, x):
        return super().forward(x) * (torch.inf if self.poisoned else 1.0)


class Steep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * torch.inf


def fails(toy, run, sentence, **options):
    recorder = Recorder()
    with pytest.raises(TrainingError, match=sentence):
        Trainer(toy, Source(), settings(**{"bad_steps": 0, **options}), run, [recorder]).fit()
    assert recorder.events[-1].stopped == "failed"
    assert all(torch.isfinite(tensor).all() for tensor in weights(toy.module).values())
    return recorder


def test_an_infinite_output_names_step_and_layer(tmp_path):
    toy = Poisoned(7, None)
    toy.module.dropout = Breaking(0.3)
    fails(
        toy, tmp_path, r"^step 7: the loss is nan \(the output of layer dropout \(Breaking\) is the first that is not "
        r"finite\) and the weights of step 4 are kept; lower the learning rate \(now 0.01\), clip harder than 1 or",
    )  # fmt: skip
    checkpoint = Checkpoints(tmp_path).load()
    assert checkpoint.name == "checkpoint-6"
    assert equal(weights(toy.module), dict(checkpoint.tensors["best"]))


def test_an_infinite_gradient_names_its_parameter():
    toy = Poisoned(3, None)
    linear = toy.module.output.forward
    toy.module.output.forward = lambda x: linear(Steep.apply(x) if toy.count >= 3 else x)
    after = []
    recorder = Recorder(lambda step: after.append(weights(toy.module)))
    sentence = r"step 3: the norm of the gradient is (inf|nan) \(the gradient of cell.bias_hh is .*weights of step 2"
    with pytest.raises(TrainingError, match=sentence):
        Trainer(toy, Source(), settings(clip=None, bad_steps=0), None, [recorder]).fit()
    # `seen`, a count of the passes, is a buffer.
    for name in dict(toy.module.named_parameters()):
        assert torch.equal(toy.module.get_parameter(name), after[-1][name])


class Now(Toy):
    """The loss of some training steps is not a number."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad, self.count = bad, 0

    def loss(self, batch, carry):
        output = super().loss(batch, carry)
        if self.module.training and torch.is_grad_enabled():
            self.count += 1
            if self.count in self.bad:
                return output._replace(loss=output.loss * torch.nan)
        return output


def test_bad_steps_are_passed_over_and_counted(tmp_path):
    recorder, after = Recorder(), []
    recorder.after = lambda step: after.append((step.step, weights(step_module)))
    toy = Now(4, 6, 7, 20)
    step_module = toy.module
    result = Trainer(toy, Source(), settings(bad_steps=2), tmp_path, [recorder]).fit()
    assert (result.stopped, result.step, result.bad_steps) == ("finished", 17, 3)
    # a step that is passed over changes nothing, and is not told as one that was taken
    assert [step.step for step in recorder.steps] == [1, 2, 3, 5, *range(8, 18)]
    assert [remark.partition(":")[0] for remark in recorder.remarks] == [f"step {n} is passed over" for n in (4, 6, 7)]
    assert "arises in the loss itself; 2 in a row, at most 2" in recorder.remarks[2]
    assert all(torch.isfinite(tensor).all() for tensor in weights(toy.module).values())


def test_training_stops_after_so_many_bad_steps_in_a_row(tmp_path):
    sentence = r"step 9: the loss is nan \(all layers are finite.* after 2 such steps in a row and the weights of"
    fails(Now(5, 7, 8, 9), tmp_path, sentence, bad_steps=2)
    assert Checkpoints(tmp_path).load().name == "checkpoint-8"


def test_a_run_with_bad_steps_resumes_exactly(tmp_path):
    """The bad steps are a function of the batch, as real ones are."""

    class ByBatch(Toy):
        def loss(self, batch, carry):
            output = super().loss(batch, carry)
            bad = self.module.training and int(batch.sum()) % 3 == 0
            return output._replace(loss=output.loss * torch.nan) if bad else output

    whole = ByBatch()
    wanted = Trainer(whole, Source(), settings(bad_steps=9)).fit()
    assert 0 < wanted.bad_steps < 17
    for stop in (6, 11):
        interrupt = Recorder(lambda step, stop=stop: step.step >= stop and signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            Trainer(ByBatch(), Source(), settings(bad_steps=9), tmp_path, [interrupt]).fit(resume=stop > 6)
    again = ByBatch()
    result = Trainer(again, Source(), settings(bad_steps=9), tmp_path).fit(resume=True)
    assert result.bad_steps == wanted.bad_steps
    assert equal(weights(whole.module), weights(again.module))


def test_an_infinite_loss_of_finite_layers():
    toy = Poisoned(2, lambda output: output._replace(loss=output.loss * torch.nan))
    fails(toy, None, r"step 2: the loss is nan \(all layers are finite, so it arises in the loss itself\)")


def test_an_infinite_weight_is_named():
    toy = Toy()
    toy.evaluate = dict
    with torch.no_grad():
        toy.module.output.bias[2] = torch.inf
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan \(weight output.bias is not finite\)"):
        Trainer(toy, Source(), settings(bad_steps=0)).fit()


def test_infinite_numbers_in_the_batch_are_named():
    class Objective:
        module = nn.Linear(3, 1)

        def loss(self, batch, carry):
            return LossOutput(self.module(batch["x"][0]).mean(), 4)

        def evaluate(self):
            return {}

    class Numbers(Source):
        def epoch(self, number, start=0):
            for index in range(start, 5):
                yield {"x": [torch.rand(4, 3).where(torch.tensor(index < 3), torch.inf)]}

    with pytest.raises(TrainingError, match=r"step 4: .* \(the batch itself holds numbers that are not finite\)"):
        Trainer(Objective(), Numbers(), settings(bad_steps=0)).fit()


def test_a_metric_that_is_not_measured_is_refused():
    with pytest.raises(ArgumentError, match="metric='bleu' is not measured here; choose one of loss, accuracy"):
        Trainer(Toy(), Source(), settings(metric="bleu")).fit()


def test_no_batches_are_refused():
    with pytest.raises(ArgumentError, match="there is no batch to train on"):
        Trainer(Toy(), Source(0), settings()).fit()


def test_a_source_that_runs_dry_is_refused():
    class Dry(Source):
        def epoch(self, number, start=0):
            return iter(()) if number == 1 else super().epoch(number, start)

    with pytest.raises(ArgumentError, match="epoch 1 gave no batch"):
        Trainer(Toy(), Dry(), settings()).fit()
