#!/usr/bin/env python3
"""Counts what the modules of each crate take from each other, from the text of their sources.

    .ci/structure.py                          # every crate of the product
    .ci/structure.py crates/accounts xtask    # these

A room is a file or a folder directly below a crate's `src`, without main.rs, lib.rs and test modules.
An arrow leads from one room to another that it names in a path that begins with `crate::` or
`super::`. Rooms that reach each other are a circle, and stand on one floor. The number of floors is
the longest chain of arrows. The script reads sources and writes nothing.
"""
import os
import re
import sys
from pathlib import Path


def module_of(path, src):
    parts = list(path.relative_to(src).with_suffix("").parts)
    if parts[-1] == "mod":
        parts.pop()
    return parts


def code_of(text):
    text = re.split(r"\n#\[cfg\(test\)\]\n(?:#\[[^\n]*\]\n)*mod \w+ \{", text)[0]
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("//"))


def expand(tree, prefix=()):
    """The paths of one `use` tree, as lists of words."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        words = [w.strip() for w in re.split(r"::", tree.split(" as ")[0]) if w.strip()]
        return [list(prefix) + words]
    head = [w.strip() for w in tree[:brace].split("::") if w.strip()]
    inner, depth, start, found = tree[brace + 1 : tree.rfind("}")], 0, 0, []
    for at, sign in enumerate(inner + ","):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            if inner[start:at].strip():
                found += expand(inner[start:at], list(prefix) + head)
            start = at + 1
    return found


def absolute(words, module):
    """A path that begins with crate or super, as words below the crate's root; None for others."""
    if words[0] == "crate":
        return words[1:]
    if words[0] not in ("super", "self"):
        return None
    here = list(module)
    while words and words[0] in ("super", "self"):
        if words[0] == "super":
            here = here[:-1]
        words = words[1:]
    return here + words


def arrows_of(src):
    rooms, arrows = {}, set()
    for path in sorted(src.rglob("*.rs")):
        parts = module_of(path, src)
        if parts in (["main"], ["lib"]) or "tests" in parts:
            continue
        room = parts[0]
        text = path.read_text()
        rooms[room] = rooms.get(room, 0) + text.count("\n")
        code = code_of(text)
        paths = []
        for use in re.findall(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", code):
            paths += expand(re.sub(r"\s+", " ", use))
        rest = re.sub(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+[^;]+;", "", code)
        paths += [p.split("::") for p in re.findall(r"\b(?:crate|super)(?:::\w+)+", rest)]
        for words in paths:
            target = absolute(words, parts)
            if target and target[0] != room:
                arrows.add((room, target[0]))
    return rooms, {(a, b) for a, b in arrows if b in rooms}


def circles_of(rooms, arrows):
    below = {room: {b for a, b in arrows if a == room} for room in rooms}

    def reach(room):
        seen, todo = set(), [room]
        while todo:
            for nxt in below[todo.pop()]:
                if nxt not in seen:
                    seen.add(nxt)
                    todo.append(nxt)
        return seen

    reached = {room: reach(room) for room in rooms}
    same = {room: frozenset({room} | {o for o in reached[room] if room in reached[o]}) for room in rooms}
    return same, [c for c in set(same.values()) if len(c) > 1]


def floors_of(rooms, arrows, same):
    known = {}

    def floor(group):
        if group not in known:
            lower = {same[b] for a, b in arrows if same[a] == group and same[b] != group}
            known[group] = 1 + max((floor(g) for g in lower), default=0)
        return known[group]

    return {room: floor(same[room]) for room in rooms}


def main():
    top = Path(__file__).resolve().parent.parent
    places = [Path(p) for p in sys.argv[1:]] or sorted(
        Path(os.path.relpath(p.parent)) for p in top.glob("crates/*/src"))
    print(f"{'crate':24} {'rooms':>5} {'floors':>6} {'arrows':>6} {'circles':>14} {'lines':>6}  largest file")
    for place in places:
        src = place / "src"
        rooms, arrows = arrows_of(src)
        same, circles = circles_of(rooms, arrows)
        floors = floors_of(rooms, arrows, same)
        sizes = sorted(((p.read_text().count("\n"), str(p.relative_to(src))) for p in src.rglob("*.rs")
                        if "tests" not in p.stem and "tests" not in p.parts), reverse=True)
        named = "+".join(str(len(c)) for c in circles) or "0"
        largest = f"{sizes[0][1]} {sizes[0][0]}" if sizes else ""
        print(f"{place.as_posix():24} {len(rooms):5} {max(floors.values(), default=0):6} {len(arrows):6} "
              f"{named:>14} {sum(rooms.values()):6}  {largest}")


main()
