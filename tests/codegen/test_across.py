"""What the plan knows of calls in helpers: they wait for what the helper's own call waits for."""

from __future__ import annotations

from dicem_codegen import compile_program
from dicem_codegen.types import CallNode

HELPER = """
def describe(patch):
    kind = patch.simple_query("What is this?")
    return llm_query(f"Is a {kind} dangerous?")


def execute_command(image):
    image_patch = ImagePatch(image)
    out = []
    for boat in image_patch.find("boat"):
        if boat.compute_depth() < 50:
            out.append(describe(boat))
    return llm_query(f"Which one: {out}?")
"""


def nodes_of(source: str) -> dict[str, CallNode]:
    """The calls by the start of their text."""
    return {node.site.text: node for node in compile_program(source).nodes}


def test_calls_in_a_helper_wait_for_what_its_call_waits_for() -> None:
    nodes = nodes_of(HELPER)
    find, depth = nodes['image_patch.find("boat")'.replace('"', "'")], nodes["boat.compute_depth()"]
    query = nodes["patch.simple_query('What is this?')"]
    assert depth.after == (find.site.number,)
    assert depth.site.number in query.after
    assert query.guarded
    assert query.loops == depth.loops != ()


def test_who_needs_a_helper_waits_for_the_last_calls_in_it() -> None:
    nodes = nodes_of(HELPER)
    inside = next(node for text, node in nodes.items() if "dangerous" in text)
    outside = next(node for text, node in nodes.items() if "Which one" in text)
    assert nodes["patch.simple_query('What is this?')"].site.number in inside.after
    assert inside.site.number in outside.after
    assert outside.loops == ()


def test_helpers_that_call_each_other_in_a_circle_end() -> None:
    nodes = nodes_of("""
def parts_of(patch, level):
    found = patch.find("part")
    if level == 0 or not found:
        return [patch.simple_query("What is this?")]
    return parts_of(found[0], level - 1)


def execute_command(image):
    image_patch = ImagePatch(image)
    whole = image_patch.simple_query("What is it?")
    return whole, parts_of(image_patch, 2)
""")
    assert set(nodes) == {
        "image_patch.simple_query('What is it?')", "patch.find('part')", "patch.simple_query('What is this?')",
    }  # fmt: skip
    assert all(node.site.number not in node.after for node in nodes.values())


def test_a_call_of_an_impure_function_waits_for_the_one_before() -> None:
    from dicem_codegen.verify.world import with_effects

    compiled = compile_program(
        "import hermod\n\n\nasync def execute_query(image):\n"
        "    await hermod.call('log_event', text='a')\n    await hermod.call('log_event', text='b')\n",
        with_effects(),
    )
    first, second = compiled.nodes
    assert second.after == (first.site.number,)
    assert compiled.source.count("site='cloud'") == 2
