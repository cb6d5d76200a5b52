"""The training loop: steps, and what is due after them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from unrolled.errors import ArgumentError, RunError, TrainingError
from unrolled.train.checkpoint import Checkpoint, Checkpoints
from unrolled.train.distributed import ALONE, Share, World
from unrolled.train.interrupt import Interrupt, Interrupted
from unrolled.train.learner import Learner, NonFinite, Outcome
from unrolled.train.nonfinite import Blame
from unrolled.train.observers import Evaluation, Observer, Start, Step, Stopped, TrainResult
from unrolled.train.planning import Stopwatch, fixed_plan, timed_plan, unplanned_warmup
from unrolled.train.position import Position, check_resumable
from unrolled.train.protocols import BatchSource, Objective
from unrolled.train.randomness import seeded, thread_count
from unrolled.train.schedule import Plan, rate_scale
from unrolled.train.settings import TrainSettings

# The purpose of the seeds of processes after the first, so that each draws noise of its own.
_FURTHER = 16


class Trainer:
    """Trains `objective` on the batches of `source`, once, and leaves the best weights in its module.

    The same seed, machine, threads and engine give the same numbers, however often the run was stopped and resumed.
    `clock` gives seconds; `started` is its value when the time of `max_time` began, by default now. `blame` finds where
    in a network numbers stopped being finite. `world`: the processes that train together, of which the first one
    evaluates, writes and tells its observers.
    """

    def __init__(
        self,
        objective: Objective,
        source: BatchSource,
        settings: TrainSettings,
        run: Path | None = None,
        observers: Iterable[Observer] = (),
        *,
        clock: Callable[[], float] = time.perf_counter,
        started: float | None = None,
        blame: Blame | None = None,
        world: World = ALONE,
    ) -> None:
        self.source: BatchSource = source if world.size == 1 else Share(source, world)
        self.settings = settings
        self.observers = tuple(observers) if world.first else ()
        self.world = world
        self._clock = world.clock(clock)
        self._origin = self._clock() if started is None else world.clock(lambda: started)()
        self._learner = Learner(objective, settings, blame, world)
        self._checkpoints = Checkpoints(run, settings.keep) if run is not None else None
        self._position = Position()
        self._stopwatch: Stopwatch | None = None
        self._deadline: float | None = None
        self._evaluation_seconds = 0.0
        self._resumed_from: int | None = None
        self._saved_at = self._lap = 0.0

    def fit(self, resume: bool = False) -> TrainResult:
        """Trains to the end, from the last checkpoint where `resume` is set; a finished run is returned as it is.

        Raises ArgumentError (no batches, unknown metric), RunError (checkpoint), TrainingError (losses that are not
        finite) and Interrupted (after a SIGINT or SIGTERM; saved where there is a run folder).
        """
        if len(self.source) < 1:
            raise ArgumentError("there is no batch to train on; give more data or a smaller batch size")
        settings = self.settings
        purpose = 1 if self.world.first else _FURTHER + self.world.rank
        device = self._learner.device
        with thread_count(settings.threads), seeded(settings.seed, purpose, device), Interrupt() as interrupt:
            self.world.together(lambda: self._open(resume))
            stopped: Stopped = "failed"
            try:
                self._begin()
                stopped = self._run(interrupt)
            except KeyboardInterrupt:
                stopped = "interrupted"
                raise
            except NonFinite as error:
                raise self._failure(error) from error
            finally:
                result = self._end(stopped)
            return result

    def _open(self, resume: bool) -> None:
        if self._checkpoints is None:
            return
        name = self._checkpoints.current()
        if resume:
            self._resumed_from = 0
            checkpoint = self._checkpoints.load()
            if checkpoint is not None:
                for remark in checkpoint.remarks:
                    self._tell("on_remark", remark)
                self._restore(checkpoint, f"{self._checkpoints.run / checkpoint.name}")
        elif name is not None:
            raise RunError(f"{self._checkpoints.run} already holds {name}; give --resume or another folder")

    def _restore(self, checkpoint: Checkpoint, where: str) -> None:
        check_resumable(checkpoint.state.get("settings", {}), self.settings.fixed())
        position = self._position = Position.from_json(checkpoint.state.get("position", {}), where)
        self._resumed_from = position.step
        try:
            self._learner.load(checkpoint.tensors, self._a_batch(position))
        except (KeyError, ArgumentError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            raise RunError(f"{where} does not fit this run ({why}); start the run again in another folder") from error

    def _a_batch(self, position: Position) -> Any:
        """One of this process's own, of the epoch at hand; None where that is over."""
        if position.index >= len(self.source):
            return None
        batch = next(self.source.epoch(position.epoch, position.index), None)
        return batch if batch is not None else next(filter(_is_there, self.source.epoch(position.epoch)), None)

    def _begin(self) -> None:
        position = self._position
        self._learner.module.train()
        self._saved_at = self._lap = self._clock()
        self._origin -= position.seconds
        known = self._known_plan()
        if known is None:
            self._stopwatch = Stopwatch(self.settings.max_time or 0.0)
        if known is None or known != position.plan:
            # A plan that was made before is carried out to its end, whatever the clock says: its numbers are promised.
            self._deadline = self.settings.max_time
            position.stopped = None
        self._tell("on_start", Start(self._learner.module, position.step, position.seconds, known))
        if known is not None:
            position.plan = known
            self._tell("on_plan", known)

    def _known_plan(self) -> Plan | None:
        """The plan of the run, None where the clock has to say first how far it goes."""
        settings, saved = self.settings, self._position.plan
        same_end = saved is not None and (saved.max_time, saved.epochs) == (settings.max_time, settings.epochs)
        if saved is not None and same_end and settings.total_steps in (None, saved.total_steps):
            return saved
        if settings.max_time is None or settings.total_steps is not None:
            return fixed_plan(settings, len(self.source))
        return None

    def _run(self, interrupt: Interrupt) -> Stopped:
        position = self._position
        stopped = self._reason(0.0)
        while stopped is None:
            for batch in self.source.epoch(position.epoch, position.index):
                stopped = self._advance(batch, interrupt)
                if stopped is not None:
                    return stopped
            if position.index == 0:
                raise ArgumentError(f"epoch {position.epoch} gave no batch; give more data or a smaller batch size")
            position.epoch, position.index, self._learner.carry = position.epoch + 1, 0, None
        return stopped

    def _advance(self, batch: Any, interrupt: Interrupt) -> Stopped | None:
        """One step and all that is due after it; the reason to stop, if there is one."""
        position = self._position
        self._step(batch)
        # The making of the batch and the observers are parts of a step's price.
        seconds = self._clock() - self._lap
        if self._stopwatch is not None:
            self._measure(self._stopwatch, seconds)
        stopped = self._reason(seconds)
        due = position.plan is not None and position.step % position.plan.evaluate_every == 0
        if due or stopped is not None:
            self._evaluate()
            stopped = stopped or self._reason(seconds)
        position.stopped = stopped
        asked = self.world.largest(interrupt.requested or 0) or None
        if stopped is not None or asked is not None or self._checkpoint_due():
            self._save()
        if asked is not None and stopped is None:
            raise Interrupted(self._interrupted(), asked)
        self._lap = self._clock()
        return stopped

    def _step(self, batch: Any) -> None:
        position, settings = self._position, self.settings
        scale = rate_scale(
            position.step, position.plan, unplanned_warmup(settings), settings.decay, settings.final_fraction
        )
        rate = settings.learning_rate * scale
        try:
            outcome: Outcome | None = self._learner.step(batch, position.step, rate)
        except NonFinite as error:
            self._pass_over(error)
            outcome = None
        position.step += 1
        position.index += 1
        position.seconds = self._seconds()
        if outcome is not None:
            position.bad_in_a_row = 0
            self._tell("on_step", self._record(batch, rate, outcome))

    def _pass_over(self, error: NonFinite) -> None:
        """Count a step whose numbers are not finite; raises the error again where there were too many in a row."""
        position, most = self._position, self.settings.bad_steps
        if position.bad_in_a_row >= most:
            raise error
        position.bad_steps += 1
        position.bad_in_a_row += 1
        where = f"{error.where}; {position.bad_in_a_row} in a row, at most {most}"
        self._tell("on_remark", f"step {position.step + 1} is passed over: {error.what} ({where})")

    def _record(self, batch: Any, rate: float, outcome: Outcome) -> Step:
        position = self._position
        loss, weight, norm = outcome
        return Step(position.step, position.epoch, loss, weight, norm, rate, position.seconds, batch)

    def _measure(self, stopwatch: Stopwatch, seconds: float) -> None:
        """Under a time limit: fixes the plan as soon as the speed is known."""
        position = self._position
        stopwatch.add(seconds)
        if not stopwatch.ready:
            return
        self._evaluate()
        position.plan = timed_plan(
            self.settings,
            len(self.source),
            step=position.step,
            elapsed=position.seconds,
            step_seconds=stopwatch.step_seconds,
            evaluation=self._evaluation_seconds,
            before=position.plan,
        )
        self._stopwatch = None
        self._tell("on_plan", position.plan)

    def _reason(self, step_seconds: float) -> Stopped | None:
        """Why training ends here, None where it goes on."""
        position, settings = self._position, self.settings
        if self._stopwatch is None and position.plan is not None and position.step >= position.plan.total_steps:
            return "finished"
        if settings.patience is not None and position.stale >= settings.patience:
            return "patience"
        # The last evaluation in training, and the one that a caller makes of the best weights.
        ending = step_seconds + 2 * self._evaluation_seconds
        if self._deadline is not None and self._seconds() + ending > self._deadline:
            return "max_time"
        return None

    def _evaluate(self) -> None:
        """Metrics, at most once a step; keeps the weights where they are the best."""
        position = self._position
        if position.evaluated_at == position.step:
            return
        before = self._clock()
        with self._learner.evaluating():
            metrics = self.world.said(self._learner.objective.evaluate)
        self._evaluation_seconds = self._clock() - before
        position.evaluated_at = position.step
        position.seconds = self._seconds()
        if not metrics:
            return
        best = self._is_best(metrics)
        if best:
            position.best_step, position.best_metrics, position.stale = position.step, dict(metrics), 0
            self._learner.keep_best()
        else:
            position.stale += 1
        self._tell("on_evaluate", Evaluation(position.step, position.epoch, metrics, best, position.seconds))

    def _is_best(self, metrics: dict[str, float]) -> bool:
        name = self.settings.metric
        if name not in metrics:
            raise ArgumentError(f"metric={name!r} is not measured here; choose one of {', '.join(metrics)}")
        position = self._position
        value, best = metrics[name], position.best_metrics.get(name)
        if not math.isfinite(value):
            return False
        if self._settled(position.step) and not self._settled(position.best_step or 0):
            return True
        return best is None or (value > best if self.settings.larger_is_better else value < best)

    def _settled(self, step: int) -> bool:
        plan = self._position.plan
        return plan is not None and step >= self.settings.settle * plan.total_steps

    def _checkpoint_due(self) -> bool:
        every, steps = self.settings.checkpoint_every, self.settings.checkpoint_steps
        by_steps = steps is not None and self._position.step % steps == 0
        return by_steps or (every is not None and self._clock() - self._saved_at >= every)

    def _save(self) -> None:
        if self._checkpoints is not None:
            state = {"position": self._position.to_json(), "settings": self.settings.fixed()}
            checkpoints, tensors = self._checkpoints, self._learner.tensors()
            self.world.said(lambda: checkpoints.save(self._position.step, tensors, state))
        self._saved_at = self._clock()

    def _failure(self, error: NonFinite) -> TrainingError:
        """Saves what was good and says what happened."""
        position, settings = self._position, self.settings
        self._save()
        kept = position.best_step if position.best_step is not None else position.step
        clip = "clip the gradient (clip=1.0)" if settings.clip is None else f"clip harder than {settings.clip:g}"
        before = f" after {position.bad_in_a_row} such steps in a row" if position.bad_in_a_row else ""
        found = TrainingError(
            f"step {position.step + 1}: {error.what} ({error.where}){before} and the weights of step {kept} are kept; "
            f"lower the learning rate (now {settings.learning_rate:g}), {clip} or look for extreme values in the data"
        )
        found.everywhere = True
        return found

    def _interrupted(self) -> str:
        step = self._position.step
        if self._checkpoints is None:
            return f"interrupted after step {step}, and not saved because there is no run folder"
        run = self._checkpoints.run
        return f"interrupted after step {step} and saved in {run}; go on with --resume --out {run}"

    def _end(self, stopped: Stopped) -> TrainResult:
        position = self._position
        self._learner.use_best()
        self._learner.parallel.close()
        result = TrainResult(
            stopped=stopped,
            step=position.step,
            total_steps=position.plan.total_steps if position.plan is not None else None,
            seconds=position.seconds,
            best_step=position.best_step,
            metrics=position.best_metrics,
            resumed_from=self._resumed_from,
            bad_steps=position.bad_steps,
        )
        self._tell("on_end", result)
        return result

    def _seconds(self) -> float:
        """Since training began, earlier processes counted."""
        return self._clock() - self._origin

    def _tell(self, event: str, report: object) -> None:
        for observer in self.observers:
            getattr(observer, event)(report)


def _is_there(batch: Any) -> bool:
    return batch is not None
