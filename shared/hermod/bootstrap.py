"""What the sandbox finds as `hermod`: fed before the prelude, never imported.

The host's module has functions only; a promise needs a pair (its id, what to await), which only the inside can build.
"""

import _hermod_host


class Hermod:
    def call(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, **params):
        return _hermod_host.call(name, params, site, at, deadline_s, priority)

    def call_sync(self, name, /, *, site=None, at=None, deadline_s=None, priority=None, **params):
        return _hermod_host.call_sync(name, params, site, at, deadline_s, priority)

    def functions(self):
        return _hermod_host.functions()

    def promise(self):
        number = _hermod_host.new_promise()
        return (number, _hermod_host.await_promise(number))

    def resolve(self, number, value):
        _hermod_host.resolve(number, value)

    def reject(self, number, error):
        _hermod_host.reject(number, type(error).__name__, str(error.args[0]) if error.args else "")


hermod = Hermod()
