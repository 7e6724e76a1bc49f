"""Where the runs of a pack stand, kept every few minutes, so that a kill costs minutes and not the run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..errors import StateLostError
from ..planning.packs import TrainingPack
from ..storage.writer import StoreWriter
from ..training.members import MemberState
from ..training.snapshots import decode_state, encode_state
from ..training.train import Epoch


class Checkpoints:
    """Those of one pack that is trained all the way; stages keep states of their own.

    A pack that is done again consists of the same runs, or of half of them, so that all of these have one epoch in
    common. What is written goes on bit for bit, since a state has all that training moves.

    Args:
      device: The kind that it is trained on, ``cpu`` or ``cuda``.
      seconds: After which one is due, at the end of an epoch; None for only where the machine is taken away.

    Attributes:
      behind: Epochs that the runs have behind them.
    """

    def __init__(self, store: StoreWriter, job: str, pack: TrainingPack, *, seconds: float | None, device: str) -> None:
        self._states, self._pack, self._seconds, self._device = store.checkpoints(job), pack, seconds, device
        self._last = time.monotonic()
        self.behind, self._has_some = 0, False

    def read(self) -> Mapping[int, MemberState]:
        """Where the runs stand, by index; nothing where they begin."""
        found = self._states.kept()
        of_each = [{epoch for run_id, epoch in found if run_id == run.run_id} for run in self._pack.runs]
        common = set.intersection(*of_each)
        # at a later one the cells that are owed would have passed
        for epoch in sorted((epoch for epoch in common if epoch < min(self._pack.epochs)), reverse=True):
            try:
                contents = [self._states.read(run.run_id, epoch) for run in self._pack.runs]
                states = [decode_state(content, device=self._device) for content in contents]
            except StateLostError:  # damaged, or of another kind of device: an earlier one, or none
                continue
            self.behind, self._has_some = epoch, True
            return dict(enumerate(states))
        return {}

    def is_due(self, result: Epoch, *, at_once: bool) -> bool:
        """Whether it is time for one (or the last moment), and there is something left to train."""
        is_time = self._seconds is not None and time.monotonic() - self._last >= self._seconds
        can_be = self._pack.stage is None and result.epoch[0] < self._pack.num_epochs
        return can_be and (is_time or at_once)

    def write(self, result: Epoch) -> None:
        """Keeps where the runs stand, then forgets where they stood. Rows up to here are to be written before."""
        for member, run in enumerate(self._pack.runs):
            self._states.write(
                run.run_id, result.epoch[member], encode_state(result.state(member), run=run, device=self._device)
            )
        self._delete(besides=result.epoch[0])
        self._last, self._has_some = time.monotonic(), True

    def delete(self) -> None:
        """At the end of the training, which nothing has to go on from."""
        if self._has_some:
            self._delete(besides=None)

    def _delete(self, *, besides: int | None) -> None:
        ours = {run.run_id for run in self._pack.runs}
        self._states.delete({key for key in self._states.kept() if key[0] in ours and key[1] != besides})
