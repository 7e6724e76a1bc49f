"""What an actor does with a pack: trains or probes, has it measured, writes rows, reports events. No Ray."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..dirac.cells import DiracPack
from ..dirac.play import play
from ..errors import SnapshotsLostError, StateLostError, StoreError, UnseenStoreError
from ..evaluation.cells import Evaluated, Evaluator, Trained
from ..identity import SnapshotKey
from ..job.parts.networks import Network
from ..job.parts.settings import Evaluation
from ..planning.cells import Cell
from ..planning.naming import MODULUS, headline
from ..planning.packs import MeasuringPack, Pack, ProbePack, TrainingPack
from ..problems.sources import Samples, Source
from ..stacking.module import StackedModule
from ..storage.files import Files
from ..storage.place import PATIENCE_SECONDS, Place
from ..storage.records import Columns
from ..storage.writer import StoreWriter
from ..training.measurement import Measurement
from ..training.members import MemberState
from ..training.players import Players
from ..training.probe import Probed, probe
from ..training.progress import Progress
from ..training.snapshots import decode, decode_state, encode, encode_state
from ..training.train import Epoch, train
from . import devices, rows
from .attempt import Attempt, PackTimeoutError, PreemptedError
from .checkpoints import Checkpoints
from .messages import (
    CellsWritten,
    Event,
    Last,
    PackDone,
    PackFailed,
    PackStarted,
    SnapshotImpossible,
    SnapshotsLost,
    SnapshotsWritten,
    Task,
    WorkerDied,
    WorkerSettings,
)
from .pack_log import PackLog

_GATHERED_SECONDS = 3.0
"""Games that last less are written together; a kill loses no more work than that."""

_OUT_OF_MEMORY = (
    "out of memory. A pack that does not fit is halved, and this one cannot be; smaller networks, a smaller batch or "
    "fewer evaluation.samples need less, and resources.gpus_per_actor leaves a GPU to fewer"
)


class Worker:
    """Executes packs of one problem on one device, and keeps the data there between packs.

    Args:
      samples: Of the problem, where it has some.
      files: Of the store; by default those of the root that the settings name.

    Raises:
      UnseenStoreError: If the driver's store is another.
    """

    def __init__(self, settings: WorkerSettings, samples: Samples | None, files: Files | None = None) -> None:
        devices.prepare(num_threads=settings.num_threads)
        self._settings, self._samples = settings, samples
        self._device = devices.choose_device(allow_gpu=settings.allow_gpu)
        self._store = StoreWriter(files or _place(settings.results))
        self._store.check_marker(settings.marker)
        self._source: Source | None = None
        self._evaluators: dict[Evaluation, Evaluator] = {}
        self._is_leaving = self._is_short_of_memory = False

    def leave(self) -> None:
        """Told that its machine will be taken away: training is to keep where it stands, and end there."""
        self._is_leaving = True

    def execute(self, task: Task) -> Iterator[Event]:
        """Works through a task's pack, and keeps a log of it; the last event is a `Last`."""
        log = PackLog(task, self._settings.provenance, self._device)
        yield PackStarted(socket.gethostname(), os.getpid(), devices.describe(self._device))
        for event in self._events(task):
            log.note(event)
            if isinstance(event, Last):
                try:
                    self._store.write_log(task.job, log.text, sequence=task.sequence)
                except StoreError as error:
                    yield WorkerDied(str(error))
                    return
            yield event

    def _events(self, task: Task) -> Iterator[Event]:
        attempt = Attempt(task, self._store, self._device)
        if self._is_short_of_memory:  # by now nothing refers to what did not fit
            devices.give_back_memory(self._device)
            self._is_short_of_memory = False
        try:
            for event in _WORK[type(task.pack)](self, task.pack, attempt):
                yield event
                attempt.check_time(self._settings.timeout_seconds)
        except PackTimeoutError as error:
            yield PackFailed("timeout", str(error))
        except PreemptedError as error:
            yield WorkerDied(str(error), preempted=True)
        except SnapshotsLostError as error:
            yield SnapshotsLost(error.keys, str(error))
        except StoreError as error:  # no fault of the cells: another worker may reach the store
            yield WorkerDied(str(error))
        except (torch.OutOfMemoryError, MemoryError):  # the driver halves the pack
            self._is_short_of_memory = True
            yield PackFailed("failed", f"{_OUT_OF_MEMORY}\n{traceback.format_exc()}")
        except Exception as error:  # noqa: BLE001 - one bad cell must not stop a grid: whatever it raised becomes its row
            sound = not isinstance(error, torch.AcceleratorError)
            yield PackFailed("failed", traceback.format_exc(), worker_is_sound=sound)
        else:
            yield PackDone()

    # --- Dirac-GANs

    def _play(self, pack: DiracPack, attempt: Attempt) -> Iterator[Event]:
        """Plays a pack's games, and writes them with their paths, those of some seconds at once."""
        played: list[Columns] = []
        paths: list[Columns] = []
        written = time.monotonic()
        for index, cell in enumerate(pack.cells):
            started = time.monotonic()
            columns, path = play(cell)
            paths += path
            row = rows.cell_row(
                cell,
                self._settings.provenance,
                status="completed",
                **columns,
                **attempt.circumstances(),
                seconds=time.monotonic() - started,
            )
            played.append(row)
            if index == len(pack.cells) - 1 or time.monotonic() - written > _GATHERED_SECONDS:
                attempt.write_cells(played, trajectories=paths)
                yield rows.written(played, MODULUS)
                played, paths, written = [], [], time.monotonic()
            yield Progress(cell.dynamics.steps)

    # --- training

    def _train(self, pack: TrainingPack, attempt: Attempt) -> Iterator[Event]:
        """Trains a pack's runs; at its epochs writes snapshots, or in stages states, and the cells there."""
        unwritten: list[Columns] = []
        source = self._source_of(pack)
        checkpoints = Checkpoints(
            self._store, attempt.job, pack, seconds=self._settings.checkpoint_seconds, device=self._device.type
        )
        states = dict(checkpoints.read()) if pack.stage is None else {}
        if pack.stage is not None:
            for found in self._read_states(pack, source):
                if isinstance(found, Progress):
                    yield found
                else:
                    states[found[0]] = found[1]
        yield Progress(checkpoints.behind * sum(run.steps_per_epoch for run in pack.runs))
        for result in train(pack.runs, source, num_epochs=pack.num_epochs - checkpoints.behind, states=states):
            if isinstance(result, Progress):
                yield result
                continue
            unwritten += rows.training_rows(pack.runs, result)
            due = [member for member, epoch in enumerate(result.epoch) if epoch in pack.epochs]
            if due:
                # before the snapshots, whose presence says that this training need not be done again
                attempt.write("training", unwritten)
                unwritten = []
                if pack.stage is None:
                    yield from self._write_snapshots(pack, result, due, attempt)
                else:
                    self._write_states(pack, result, due)
                yield from self._write_trained_cells(pack, result, attempt)
            if checkpoints.is_due(result, at_once=self._is_leaving):
                attempt.write("training", unwritten)
                unwritten = []
                checkpoints.write(result)
                if self._is_leaving:
                    raise PreemptedError(f"its machine is being taken away; kept at epoch {max(result.epoch)}")
        checkpoints.delete()

    def _read_states(self, pack: TrainingPack, source: Source) -> Iterator[Progress | tuple[int, MemberState]]:
        """Where members that do not begin stand, by index; what is damaged or gone is trained again, in their place."""
        for member, (run, start) in enumerate(zip(pack.runs, pack.starts, strict=False)):
            if start == 0:
                continue
            try:
                yield member, decode_state(self._store.states.read(run.run_id, start), device=self._device.type)
            except StateLostError:
                for result in train([run], source, num_epochs=start):
                    if isinstance(result, Progress):
                        yield Progress(0)  # of work that nobody has planned
                    elif result.epoch == [start]:
                        yield member, result.state(0)

    def _write_snapshots(
        self, pack: TrainingPack, result: Epoch, due: Sequence[int], attempt: Attempt
    ) -> Iterator[Event]:
        epochs = result.epoch
        sound = {(pack.runs[member].run_id, epochs[member]): member for member in due if result.diverged_at[member] < 0}
        if sound:
            weights = result.members.generators[list(sound.values())]
            file = self._store.snapshots.write(encode(result.members.players.generator, weights, list(sound)))
            attempt.files |= dict.fromkeys(sound, file)
            yield SnapshotsWritten(frozenset(sound))
        for member in due:
            run, epoch, diverged_at = pack.runs[member], result.epoch[member], result.diverged_at[member]
            if diverged_at >= 0:
                error = f"its reference run {run.run_id} diverged at step {diverged_at}, before epoch {epoch}"
                yield SnapshotImpossible(run.run_id, epoch, "diverged", error)

    def _write_states(self, pack: TrainingPack, result: Epoch, due: Sequence[int]) -> None:
        """Before the cells, whose presence says that the runs can be taken on."""
        for member in due:
            run, epoch = pack.runs[member], result.epoch[member]
            if epoch < run.horizon and result.diverged_at[member] < 0:
                content = encode_state(result.state(member), run=run, device=self._device.type)
                self._store.states.write(run.run_id, epoch, content)

    def _write_trained_cells(self, pack: TrainingPack, result: Epoch, attempt: Attempt) -> Iterator[Event]:
        member_of = {run.run_id: member for member, run in enumerate(pack.runs)}
        epoch_of = {run.run_id: epoch for run, epoch in zip(pack.runs, result.epoch, strict=True)}
        cells = [cell for cell in pack.cells if cell.epoch == epoch_of[cell.run.run_id]]
        if not cells:
            return
        trained = Trained(
            players=result.members.players,
            generators=result.members.generators,
            discriminators=result.members.discriminators,
            sigma=result.sigma,
            measurements=[result.members.measure(step=result.step, sigma=result.sigma)],
        )
        yield self._write_cells(cells, [member_of[cell.run.run_id] for cell in cells], trained, attempt)

    # --- probing

    def _probe(self, pack: ProbePack, attempt: Attempt) -> Iterator[Event]:
        """Probes the snapshots that a pack names, and writes curves and cells."""
        source = self._source_of(pack)
        first = pack.probes[0].run
        keys = [(one.run.run_id, one.epoch) for one in pack.probes]
        files = self._store.snapshots.chosen(keys)
        snapshots = self._weights(keys, files, first.networks, source, attempt)
        measurements: list[Measurement] = []
        losses = list(dict.fromkeys(cell.loss for cell in pack.cells))
        for result in probe(pack.probes, losses, snapshots, source):
            if isinstance(result, Progress):
                yield result
            elif isinstance(result, Measurement):
                measurements.append(result)
            else:
                yield self._write_probed_cells(pack, result, snapshots, measurements, attempt)

    def _weights(
        self,
        keys: Sequence[SnapshotKey],
        files: Mapping[SnapshotKey, str],
        networks: Network,
        source: Source,
        attempt: Attempt,
    ) -> Tensor:
        """Weights of generators ``[k, p]``, each from a file that holds it."""
        generator = StackedModule.generator(networks, source.shape)
        contents = self._store.snapshots.read(files)
        held = {name: decode(generator, content) for name, content in contents.items()}
        attempt.files |= files
        return torch.stack([held[files[key]][key] for key in keys]).to(self._device)

    def _write_probed_cells(
        self, pack: ProbePack, result: Probed, snapshots: Tensor, measurements: Sequence[Measurement], attempt: Attempt
    ) -> CellsWritten:
        member_of = {member.probe_id: index for index, member in enumerate(pack.probes)}
        members = [member_of[cell.probe.probe_id] for cell in pack.cells if cell.probe is not None]
        curves = rows.curve_rows(pack.cells, members, measurements)
        trained = Trained(
            players=result.players,
            generators=snapshots,
            discriminators=result.discriminators,
            sigma=[member.sigma for member in pack.probes],
            measurements=measurements,
        )
        return self._write_cells(pack.cells, members, trained, attempt, curves=curves)

    # --- measured cells

    def _measure(self, pack: MeasuringPack, attempt: Attempt) -> Iterator[Event]:
        """Measures the generators of a pack again, and writes their cells with what their training had told."""
        source, cells, first = self._source_of(pack), pack.cells, pack.cells[0].run
        files = {cell.generator: pack.kept[cell.cell_id]["snapshot"] for cell in cells}
        snapshots = self._weights([cell.generator for cell in cells], files, first.networks, source, attempt)
        seeds = [cell.seed for cell in cells]
        players = Players("measure", first.networks, source, seeds=seeds, batch=first.batch, families=None)
        sigma = [pack.kept[cell.cell_id]["sigma"] for cell in cells]
        evaluated = self._evaluator(cells[0].evaluation).evaluate_again(cells, players, snapshots, sigma)
        columns = [
            {"status": "completed", **pack.kept[cell.cell_id], **found.columns}
            for cell, found in zip(cells, evaluated, strict=True)
        ]
        yield self._write_rows(cells, columns, evaluated, attempt)

    def _write_cells(
        self,
        cells: Sequence[Cell],
        members: Sequence[int],
        trained: Trained,
        attempt: Attempt,
        *,
        curves: Sequence[Columns] = (),
    ) -> CellsWritten:
        """Has the members that answer the cells evaluated, and writes what was found."""
        evaluated = self._evaluator(cells[0].evaluation).evaluate(cells, members, trained)
        columns = [
            rows.outcome_columns(trained, member, cell.loss, found.columns)
            for cell, member, found in zip(cells, members, evaluated, strict=True)
        ]
        return self._write_rows(cells, columns, evaluated, attempt, curves=curves)

    def _write_rows(
        self,
        cells: Sequence[Cell],
        columns: Sequence[Columns],
        evaluated: Sequence[Evaluated],
        attempt: Attempt,
        *,
        curves: Sequence[Columns] = (),
    ) -> CellsWritten:
        provenance, seconds = self._settings.provenance, attempt.seconds_per_cell()
        table = [
            rows.cell_row(
                cell,
                provenance,
                **{"snapshot": attempt.files.get(cell.generator), **own},
                **attempt.circumstances(),
                seconds=seconds,
            )
            for cell, own in zip(cells, columns, strict=True)
        ]
        attempt.write_cells(table, curves=curves, metrics=rows.metric_rows(cells, evaluated))
        protocol = "train" if cells[0].probe is None else "probe"
        assert self._source is not None
        return rows.written(table, headline(protocol, self._source.shape))

    # --- kept between packs

    def _source_of(self, pack: TrainingPack | ProbePack | MeasuringPack) -> Source:
        if self._source is None:
            run = pack.runs[0] if isinstance(pack, TrainingPack) else pack.cells[0].run
            self._source = run.problem.source(self._samples, device=self._device)
        return self._source

    def _evaluator(self, evaluation: Evaluation) -> Evaluator:
        if evaluation not in self._evaluators:
            assert self._source is not None
            self._evaluators[evaluation] = Evaluator(self._source, evaluation, self._store.networks)
        return self._evaluators[evaluation]


def _place(root: str) -> Place:
    """The driver's, from here.

    Raises:
      UnseenStoreError: If this process may not look there.
    """
    try:
        return Place(root, patience_seconds=PATIENCE_SECONDS)
    except StoreError as error:
        raise UnseenStoreError(f"worker on {socket.gethostname()}: {error}") from error


_WORK: Mapping[type[Pack], Callable[[Worker, Any, Attempt], Iterator[Event]]] = {
    TrainingPack: Worker._train,
    ProbePack: Worker._probe,
    MeasuringPack: Worker._measure,
    DiracPack: Worker._play,
}
