"""What a sampler remembers of a study: the codes of every trial, each read once."""

import optuna
from optuna.trial import FrozenTrial

from mvsearch.space.search_space import Codes, SearchSpace


class History:
    """Codes by trial. A trial's parameters never change once it has all of them, so only new trials are looked at."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._forget(None)

    def _forget(self, study: optuna.Study | None) -> None:
        self._study = study
        self.codes: dict[int, Codes] = {}
        self.seen: set[bytes] = set()
        self._open: list[int] = []  # places of trials that lacked a value when last looked at
        self._read = 0

    def update(self, study: optuna.Study) -> list[FrozenTrial]:
        """All trials of the study, their codes known afterwards; those that wait in its queue count as seen."""
        if study is not self._study:
            self._forget(study)
        trials = study.get_trials(deepcopy=False)
        unread, self._open = [*self._open, *range(self._read, len(trials))], []
        for place in unread:
            self._note(place, trials[place])
        self._read = len(trials)
        return trials

    def _note(self, place: int, trial: FrozenTrial) -> None:
        queued = trial.system_attrs.get("fixed_params", {})
        params = max(trial.params, queued, key=len)
        if len(params) == len(self.space.choices):
            codes = self.space.codes(params)
            self.codes[trial.number] = codes
            self.seen.add(codes.tobytes())
        else:
            self._open.append(place)
