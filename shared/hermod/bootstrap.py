"""What the sandbox finds as `hermod`: fed before the prelude, never imported.

The host's module has functions only; a promise needs a pair (its id, what to await), which only the inside can build,
and tasks are the interpreter's own.  Names here are seen by the program: all but `hermod` and its class are private.
"""

import asyncio as _asyncio

import _hermod_host


class Hermod:
    def __init__(self):
        self._given = []
        self._blocks = 0  # ahead blocks around what runs now
        self._sharing = False
        self._ahead_left = 0  # calls that may still be tried ahead
        self._running = False
        self._strands = []  # not yet begun
        self._door = False  # whether the nursery waits

    def call(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, away=None, **params):
        ahead = self._blocks > 0
        if ahead:
            self._spend_ahead()
        return _hermod_host.call(name, _plain(params, 0), site, at, deadline_s, priority, away, ahead)

    def call_sync(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, away=None, **params):
        if self._blocks > 0:
            raise RuntimeError("hermod.ahead: a call that is waited for")
        return _hermod_host.call_sync(name, _plain(params, 0), site, at, deadline_s, priority, away)

    def functions(self):
        return _hermod_host.functions()

    def share_calls(self):
        if not self._sharing:
            self._sharing = True
            self._ahead_left = _hermod_host.share_calls()

    def ahead(self):
        return _Ahead(self, True)

    def early(self):
        return _Ahead(self, False)

    def _spend_ahead(self):
        if not self._sharing:
            raise RuntimeError("hermod.ahead: calls are not shared, so nobody would find this one")
        if self._ahead_left <= 0:
            raise RuntimeError("hermod.ahead: too many calls were tried ahead")
        self._ahead_left -= 1

    def again(self, value):
        if iter(value) is value:
            raise TypeError("hermod.again: a " + type(value).__name__ + " can be walked only once")
        return value

    def spawn(self, coroutine):
        if type(coroutine).__name__ != "coroutine":
            raise TypeError("hermod.spawn: a coroutine is wanted, not a " + type(coroutine).__name__)
        if not self._running:
            raise RuntimeError("hermod.spawn: only a program inside `await hermod.run(...)` has strands")
        self._strands.append(coroutine)
        if self._door:
            self._door = False
            _hermod_host.open_door()

    async def run(self, coroutine, end=None):
        if self._running:
            return await coroutine
        self._running = True
        if end is not None:  # how the runner ends an entry function; no `try`, which would take the lines from errors
            await _asyncio.gather(_end(coroutine, end), self._nursery())
        ended = []
        try:
            await _asyncio.gather(_until_it_ends(coroutine, ended), self._nursery())
        except RuntimeError:
            self._running, self._door, self._strands = False, False, []
        value, error = ended[0]
        if error is not None:
            raise error
        return value

    async def _nursery(self):
        """Begins what is spawned, beside all that runs: the interpreter has no other way to make a task."""
        if not self._strands:
            self._door = True
            await _hermod_host.wait_at_door()
        begun, self._strands = self._strands, []
        await _asyncio.gather(*[_quiet(coroutine) for coroutine in begun], self._nursery())

    def promise(self):
        number = _hermod_host.new_promise()
        return (number, _hermod_host.await_promise(number))

    def resolve(self, number, value):
        _check_given(value, 0)
        self._given.append(value)  # the host knows objects by name only: they live as long as somebody here holds them
        _hermod_host.resolve(number, value)

    def reject(self, number, error):
        if not isinstance(error, BaseException):
            raise TypeError("hermod.reject: an exception is wanted, not a " + type(error).__name__)
        _hermod_host.reject(number, type(error).__name__, str(error.args[0]) if error.args else "")


class _Ahead:
    def __init__(self, owner, shields):
        self._owner = owner
        self._shields = shields

    def __enter__(self):
        self._owner._blocks += 1

    def __exit__(self, kind, error, where):
        self._owner._blocks -= 1
        return self._shields and isinstance(error, Exception)


async def _end(coroutine, end):
    _hermod_host.end(end(await coroutine))  # the host does not come back from this


async def _until_it_ends(coroutine, ended):
    try:
        ended.append((await coroutine, None))
    except BaseException as error:
        ended.append((None, error))
    raise RuntimeError("hermod.run: the program has ended")  # and so does the gather, whatever strands are left


async def _quiet(coroutine):
    try:
        await coroutine
    except BaseException:
        return


_NO_VALUES = ("function", "method", "builtin_function_or_method", "type", "coroutine", "generator")


def _plain(value, depth):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth < 32 and isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if depth < 32 and isinstance(value, dict):
        return {key: _plain(value[key], depth + 1) for key in value}
    if hasattr(value, "handle"):
        return value.handle
    raise ValueError("a " + type(value).__name__ + " cannot be passed to a function")


def _check_given(value, depth):
    if depth < 32 and isinstance(value, (list, tuple, set)):
        for item in value:
            _check_given(item, depth + 1)
    elif depth < 32 and isinstance(value, dict):
        for key in value:
            _check_given(value[key], depth + 1)
    elif depth >= 32 or type(value).__name__ in _NO_VALUES:
        raise ValueError("a " + type(value).__name__ + " cannot be the value of a promise")


hermod = Hermod()
