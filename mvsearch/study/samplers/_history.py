"""The codes of every trial of a study, each computed once."""

import optuna
from optuna.trial import FrozenTrial

from mvsearch.space.search_space import Codes, SearchSpace


class History:
    """Codes by trial number. Once a trial has all parameters they are final, so only new trials are read."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._reset(None)

    def _reset(self, study: optuna.Study | None) -> None:
        self._study = study
        self.codes: dict[int, Codes] = {}
        self.seen: set[bytes] = set()
        self._open: list[int] = []  # indices of trials that lacked a parameter at the last update
        self._read = 0

    def update(self, study: optuna.Study) -> list[FrozenTrial]:
        """All trials of the study, whose codes are read; queued trials count as seen."""
        if study is not self._study:
            self._reset(study)
        trials = study.get_trials(deepcopy=False)
        unread, self._open = [*self._open, *range(self._read, len(trials))], []
        for index in unread:
            self._add(index, trials[index])
        self._read = len(trials)
        return trials

    def _add(self, index: int, trial: FrozenTrial) -> None:
        queued = trial.system_attrs.get("fixed_params", {})
        params = max(trial.params, queued, key=len)
        if len(params) == len(self.space.choices):
            codes = self.space.codes(params)
            self.codes[trial.number] = codes
            self.seen.add(codes.tobytes())
        else:
            self._open.append(index)
