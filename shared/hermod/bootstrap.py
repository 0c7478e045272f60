"""What the sandbox finds as `hermod`: fed before the prelude, never imported.

The host's module has functions only; a promise needs a pair (its id, what to await), which only the inside can build.
"""

import _hermod_host


class Hermod:
    def __init__(self):
        self._given = []

    def call(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, **params):
        return _hermod_host.call(name, _plain(params, 0), site, at, deadline_s, priority)

    def call_sync(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, **params):
        return _hermod_host.call_sync(name, _plain(params, 0), site, at, deadline_s, priority)

    def functions(self):
        return _hermod_host.functions()

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
