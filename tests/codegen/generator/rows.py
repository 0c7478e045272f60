"""The rows that generated programs reach: those of the compiler's table of constructs, and forms that people write."""

from __future__ import annotations

TABLE = {
    "independent": "statements that ask without each other's results",
    "loop": "a loop over patches whose questions carry no state",
    "fan-in": "append, += or a dict store in a loop that asks",
    "carried": "a loop whose state decides or is computed anew: the best so far",
    "comprehension": "a comprehension with a filter, with questions in it",
    "lazy": "any, all or next over a generator that asks",
    "keys": "min, max, sorted or sort with a key that asks",
    "exit": "return or break in a loop that asks",
    "if-result": "if on a result",
    "short-circuit": "and, or, a ternary or a chained comparison with a question that may not be asked",
    "region": "while, try or with around a question",
    "effects": "print or an impure function beside questions",
    "mutation": "aliases, attributes, globals, changes in place",
    "closures": "a nested def or lambda that asks",
    "duplicates": "equal questions, or one that a loop asks again and again",
    "sets": "a set that is walked",
    "unprovable": "what no analysis sees through: recursion, getattr, functions in variables, iterators by hand",
}
"""Section 6 of the design, row by row."""

FORMS = {
    "helpers": "a function of the program that asks",
    "generators": "a generator that asks, walked by a loop, or by join, sum, sorted and their like",
    "nested-loops": "a loop in a loop, asking inside",
    "nested-guards": "`p and p[0].find(...)`",
    "loop-variable": "a loop's variable used after the loop",
    "early-return": "return before the end",
    "name-errors": "a name that is missing on some path",
    "del": "del",
    "star": "star-unpacking",
    "f-strings": "an f-string with a value in it",
    "coerce": "coerce_to_numeric",
    "walks": "enumerate, zip, range, reversed, slices, items of a dict",
    "strings": "methods of strings",
    "parsing": "int or float in a try",
}
"""What else model-written programs are full of."""

ROWS = (*TABLE, *FORMS)
