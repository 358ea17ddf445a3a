"""What happens when a session's time comes, as a function of its settings, its deadline and the time."""

from __future__ import annotations

import math

import msgspec

from ndb_models.stores.contract import ExpirySettings


class ExpiryState(msgspec.Struct, frozen=True, gc=False):
    """A session's deadline, in seconds; and whether its time has come, so that its keys are gone."""

    deadline: float
    emptied: bool


def deadline_after_use(expiry: ExpirySettings, extends: bool, deadline: float, used_at: float) -> float:
    """Return when the time of a session comes after a use of it.

    The deadline moves only if the timer was started at least `touch_every` seconds before. So a session lives for at
    least `duration - touch_every` seconds after a use that extends.

    Args:
        expiry: its settings, with a duration.
        extends: True if such a use restarts the timer.
        deadline: when its time would come.
        used_at: the time of the use. No timer has more than its duration to run, even if the clock was set back.
    """
    latest = used_at + expiry.duration
    return latest if extends and latest >= deadline + expiry.touch_every else min(deadline, latest)


def expiry_state(expiry: ExpirySettings, deadline: float, now: float) -> ExpiryState | None:
    """Return the state of a session as it is now; None if the session has ended.

    Args:
        expiry: its settings.
        deadline: when its time comes, as it was stored; infinite if it never expires.
        now: the time on the same clock. No timer has more than its duration to run, even if the clock was ahead when it
            was started.
    """
    duration = expiry.duration
    if not duration:
        return ExpiryState(deadline, False)
    deadline = min(deadline, now + duration)
    if now < deadline:
        return ExpiryState(deadline, False)
    if expiry.delete_session:
        return None
    return ExpiryState(deadline + duration * (math.floor((now - deadline) / duration) + 1), True)
