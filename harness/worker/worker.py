"""What an actor does with a pack: train or probe, measure, write rows, report events. No Ray."""

from __future__ import annotations

import socket
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from torch import Tensor

from ..dirac.cells import DiracPack
from ..dirac.play import play
from ..evaluation.cells import Evaluator, same_generator
from ..evaluation.discriminator import discriminator_jsd, generate, judge
from ..job.parts.losses import find_loss
from ..job.parts.settings import Evaluation
from ..planning.cells import Cell
from ..planning.packs import Pack, ProbePack, TrainingPack
from ..problems.sources import Samples, Source, make_source
from ..storage.records import Columns, finite
from ..storage.store import Store, new_part
from ..training.measurement import Measurement
from ..training.networks import build_generator
from ..training.players import Adversaries
from ..training.probe import probe
from ..training.progress import Progress
from ..training.snapshots import decode, decode_state, encode, encode_state
from ..training.stacking import StackedModule
from ..training.train import Epoch, train
from . import devices, rows
from .messages import (
    CellsWritten,
    Event,
    PackDone,
    PackFailed,
    SnapshotImpossible,
    SnapshotWritten,
    Task,
    WorkerSettings,
)


@dataclass
class _Execution:
    """One attempt at a pack: its rows share `part`, its cells their time."""

    job: str
    attempt: int
    num_cells: int
    part: str
    started: float
    started_at: datetime


class _TimeoutError(Exception):
    """A pack took longer than the job allows."""


class Worker:
    """Executes packs of one problem on one device, and keeps the data there between packs."""

    def __init__(self, settings: WorkerSettings, samples: Samples | None) -> None:
        devices.prepare(num_threads=settings.num_threads)
        self._settings, self._samples = settings, samples
        self._device = devices.choose_device(allow_gpu=settings.allow_gpu)
        self._store = Store(settings.results)
        self._store.check_marker(settings.marker)
        self._source: Source | None = None
        self._evaluators: dict[Evaluation, Evaluator] = {}

    def execute(self, task: Task) -> Iterator[Event]:
        """Works through a task's pack; the last event is `PackDone` or `PackFailed`."""
        started = time.monotonic(), datetime.now(UTC)
        execution = _Execution(task.job, task.attempt, len(task.pack.cells), new_part(), *started)
        try:
            for event in self._work(task.pack, execution):
                yield event
                self._check_time(execution)
        except _TimeoutError as error:
            yield PackFailed("timeout", str(error))
        except Exception as error:  # noqa: BLE001 - one bad cell must not stop a grid: whatever it raised becomes its row
            sound = not isinstance(error, torch.AcceleratorError)
            yield PackFailed("failed", traceback.format_exc(), worker_is_sound=sound)
        else:
            yield PackDone()

    def _work(self, pack: Pack, execution: _Execution) -> Iterator[Event]:
        match pack:
            case TrainingPack():
                return self._train(pack, execution)
            case ProbePack():
                return self._probe(pack, execution)
            case DiracPack():
                return self._play(pack, execution)

    # --- Dirac-GANs

    def _play(self, pack: DiracPack, execution: _Execution) -> Iterator[Event]:
        for cell in pack.cells:
            started = time.monotonic()
            columns, path = play(cell)
            self._store.write_part(execution.job, "trajectories", path, part=execution.part)
            row = rows.cell_row(
                cell,
                self._settings.provenance,
                status="completed",
                attempt=execution.attempt,
                **columns,
                **self._circumstances(execution),
                seconds=time.monotonic() - started,
            )
            self._store.write_part(execution.job, "cells", [row], part=execution.part)
            yield CellsWritten({cell.cell_id: "completed"})
            yield Progress(cell.dynamics.steps)

    # --- training

    def _train(self, pack: TrainingPack, execution: _Execution) -> Iterator[Event]:
        unwritten: list[Columns] = []
        states = {
            member: decode_state(self._store.read_state(run.run_id, start))
            for member, (run, start) in enumerate(zip(pack.runs, pack.starts, strict=False))
            if start > 0
        }
        for result in train(pack.runs, self._source_of(pack), num_epochs=pack.num_epochs, states=states):
            if isinstance(result, Progress):
                yield result
                continue
            unwritten += _training_rows(pack, result)
            due = [member for member, epoch in enumerate(result.epoch) if epoch in pack.epochs]
            if due:
                # before the snapshots, whose presence says that this training need not be done again
                self._store.write_part(execution.job, "training", unwritten, part=execution.part)
                unwritten = []
                if pack.stage is None:
                    yield from self._write_snapshots(pack, result, due)
                else:
                    self._write_states(pack, result, due)
                yield from self._write_trained_cells(pack, result, execution)

    def _write_snapshots(self, pack: TrainingPack, result: Epoch, due: Sequence[int]) -> Iterator[Event]:
        generator = result.members.adversaries.generator
        for member in due:
            run, epoch, diverged_at = pack.runs[member], result.epoch[member], result.diverged_at[member]
            if diverged_at >= 0:
                error = f"its reference run {run.run_id} diverged at step {diverged_at}, before epoch {epoch}"
                yield SnapshotImpossible(run.run_id, epoch, "diverged", error)
                continue
            if not self._store.has_snapshot(run.run_id, epoch):
                content = encode(generator, result.members.generators[member], run=run, epoch=epoch)
                self._store.write_snapshot(run.run_id, epoch, content)
            yield SnapshotWritten(run.run_id, epoch)

    def _write_states(self, pack: TrainingPack, result: Epoch, due: Sequence[int]) -> None:
        """Before the cells, whose presence says that the runs can be taken on."""
        for member in due:
            run, epoch = pack.runs[member], result.epoch[member]
            if epoch < run.horizon and result.diverged_at[member] < 0:
                content = encode_state(result.members.state(member, epoch=epoch), run=run)
                self._store.write_state(run.run_id, epoch, content)

    def _write_trained_cells(self, pack: TrainingPack, result: Epoch, execution: _Execution) -> Iterator[Event]:
        member_of = {run.run_id: member for member, run in enumerate(pack.runs)}
        epoch_of = {run.run_id: epoch for run, epoch in zip(pack.runs, result.epoch, strict=True)}
        cells = [cell for cell in pack.cells if cell.epoch == epoch_of[cell.run.run_id]]
        if not cells:
            return
        members = result.members
        yield self._write_cells(
            cells,
            [member_of[cell.run.run_id] for cell in cells],
            adversaries=members.adversaries,
            generators=members.generators,
            discriminators=members.discriminators,
            sigma=result.sigma,
            measurements=[members.measure(step=result.step, sigma=result.sigma)],
            execution=execution,
        )

    # --- probing

    def _probe(self, pack: ProbePack, execution: _Execution) -> Iterator[Event]:
        source = self._source_of(pack)
        generator = StackedModule(build_generator(pack.probes[0].run.networks, source.shape))
        contents = [self._store.read_snapshot(member.run.run_id, member.epoch) for member in pack.probes]
        snapshots = torch.stack([decode(generator, content) for content in contents]).to(self._device)
        member_of = {member.probe_id: index for index, member in enumerate(pack.probes)}
        members = [member_of[cell.probe.probe_id] for cell in pack.cells if cell.probe is not None]
        measurements: list[Measurement] = []
        losses = list(dict.fromkeys(cell.loss for cell in pack.cells))
        for result in probe(pack.probes, losses, snapshots, source):
            if isinstance(result, Progress):
                yield result
            elif isinstance(result, Measurement):
                measurements.append(result)
            else:
                # curves first: a row of cells is the sign that all is there
                curves = rows.curve_rows(pack.cells, members, measurements)
                self._store.write_part(execution.job, "curves", curves, part=execution.part)
                yield self._write_cells(
                    pack.cells,
                    members,
                    adversaries=result.adversaries,
                    generators=snapshots,
                    discriminators=result.discriminators,
                    sigma=[member.sigma for member in pack.probes],
                    measurements=measurements,
                    execution=execution,
                )

    # --- measuring and writing

    def _write_cells(
        self,
        cells: Sequence[Cell],
        members: Sequence[int],
        *,
        adversaries: Adversaries,
        generators: Tensor,
        discriminators: Tensor,
        sigma: Sequence[float],
        measurements: Sequence[Measurement],
        execution: _Execution,
    ) -> CellsWritten:
        """Evaluates the members that answer the cells, and writes their rows as one part; `sigma` is the members'."""
        measured = self._evaluate(cells, members, adversaries, generators, discriminators, sigma)
        seconds = (time.monotonic() - execution.started) / execution.num_cells
        table = []
        last = measurements[-1]
        for cell, member, columns in zip(cells, members, measured, strict=True):
            diverged_at = last.diverged_at[member]
            diverged = diverged_at >= 0
            if diverged:
                columns = {**columns, "d_loss": finite(last.last_d_loss[member]), "jsd_discriminator": None}
            table.append(
                rows.cell_row(
                    cell,
                    self._settings.provenance,
                    status="diverged" if diverged else "completed",
                    error=f"not finite from update {diverged_at} on; values are the last finite" if diverged else None,
                    attempt=execution.attempt,
                    iterations=diverged_at if diverged else last.iteration[member],
                    **rows.gradient_columns(_last_sound(measurements, member), member, cell.loss),
                    **columns,
                    sigma=sigma[member],
                    **self._circumstances(execution),
                    seconds=seconds,
                )
            )
        self._store.write_part(execution.job, "cells", table, part=execution.part)
        return CellsWritten({row["cell_id"]: row["status"] for row in table})

    def _circumstances(self, execution: _Execution) -> Columns:
        return {
            "peak_memory_bytes": devices.peak_memory_bytes(self._device),
            "device": devices.describe(self._device),
            "hostname": socket.gethostname(),
            "started_at": execution.started_at,
        }

    def _evaluate(
        self,
        cells: Sequence[Cell],
        members: Sequence[int],
        adversaries: Adversaries,
        generators: Tensor,
        discriminators: Tensor,
        sigma: Sequence[float],
    ) -> list[Columns]:
        """The evaluation columns of each cell; sample sets that cells share are measured once."""
        evaluator = self._evaluator(cells[0].evaluation)
        used = sorted(set(members))
        cell_of = {member: cell for cell, member in zip(cells, members, strict=True)}
        seeds = [cell_of[member].seed for member in used]
        objective = find_loss(cells[0].loss).objective
        fakes = generate(
            adversaries.generator,
            generators[used],
            seeds=seeds,
            num=len(evaluator.real),
            batch=adversaries.batch,
            latent=adversaries.latent,
        )
        verdicts = judge(
            adversaries.discriminator,
            discriminators[used],
            evaluator.real,
            fakes,
            sigma=torch.tensor([sigma[member] for member in used], device=self._device),
            noises=[evaluator.noise(cell_of[member].sigma.noise) for member in used],
            seeds=seeds,
            objective=objective,
            batch=adversaries.batch,
            batch_norm=adversaries.batch_norm,
        )
        by_member = {}
        for fake_set, group in same_generator(used, cell_of, fakes):
            sigmas = list(dict.fromkeys(sigma[member] for member in group))
            first = cell_of[group[0]]
            columns = evaluator.against_real(fake_set, sigmas, seed=first.seed, noise=first.sigma.noise)
            by_member.update({member: columns[sigma[member]] for member in group})
        result = []
        for member in members:
            d_loss = finite(verdicts.d_loss[used.index(member)])
            result.append(
                {
                    **by_member[member],
                    "d_loss": d_loss,
                    "accuracy": verdicts.accuracy[used.index(member)],
                    "jsd_discriminator": discriminator_jsd(objective, d_loss),
                }
            )
        return result

    # --- state

    def _source_of(self, pack: TrainingPack | ProbePack) -> Source:
        if self._source is None:
            run = pack.runs[0] if isinstance(pack, TrainingPack) else pack.probes[0].run
            self._source = make_source(run.problem, self._samples, device=self._device)
        return self._source

    def _evaluator(self, evaluation: Evaluation) -> Evaluator:
        if evaluation not in self._evaluators:
            assert self._source is not None
            self._evaluators[evaluation] = Evaluator(self._source, evaluation)
        return self._evaluators[evaluation]

    def _check_time(self, execution: _Execution) -> None:
        limit = self._settings.timeout_seconds
        elapsed = time.monotonic() - execution.started
        if limit is not None and elapsed > limit:
            raise _TimeoutError(f"the pack took {elapsed:.0f} s, resources.timeout_seconds is {limit:g}")


def _last_sound(measurements: Sequence[Measurement], member: int) -> Measurement:
    """The last measurement before the member diverged; the very last where it died before the first."""
    sound = [measurement for measurement in measurements if measurement.diverged_at[member] < 0]
    return (sound or measurements)[-1]


def _training_rows(pack: TrainingPack, epoch: Epoch) -> list[Columns]:
    return [
        {
            "run_id": run.run_id,
            "epoch": epoch.epoch[member],
            "step": epoch.step[member],
            "sigma": epoch.sigma[member],
            "d_loss": finite(epoch.d_loss[member]),
            "g_loss": finite(epoch.g_loss[member]),
        }
        for member, run in enumerate(pack.runs)
    ]
