"""From a question in plain language to a program that has been checked: `dicem generate`, `dicem ask`.

    registry -> prompt -> model -> program -> checks -> (what is wrong goes back to the model) -> Generated

The model is a stranger with a pen.  Nothing that it writes runs outside the sandboxed interpreter, and nothing of it
runs on a frame before it has passed every check.
"""
