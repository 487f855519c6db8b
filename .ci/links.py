"""Checks that each link in the Markdown files points to a file, and to a heading of it, that is there.

Links to the web are left alone: nothing here uses the network. Code, in fences or between backticks, has no links.
"""

import os
import re
import sys
from urllib.parse import unquote

SKIPPED = {".git", ".aws-sam", ".causeway", "node_modules", "target"}
INLINE = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)


def markdown_files(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def lines_outside_fences(path):
    fence = None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            marker = re.match(r"\s{0,3}(```+|~~~+)", line)
            if fence is None and marker:
                fence = marker.group(1)
            elif fence is not None:
                if marker and marker.group(1).startswith(fence):
                    fence = None
            else:
                yield number, line


def anchors(path):
    """A heading's anchor: its text in lower case without punctuation, spaces as hyphens; repeated ones are numbered."""
    found = set()
    for _, line in lines_outside_fences(path):
        heading = HEADING.match(line)
        if not heading:
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1))
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeated, count = anchor, 0
        while repeated in found:
            count += 1
            repeated = f"{anchor}-{count}"
        found.add(repeated)
    return found


def problem(root, path, target):
    """What is wrong with a link's target, or nothing."""
    place, _, anchor = target.partition("#")
    place = unquote(place.partition("?")[0])
    base = root if place.startswith("/") else os.path.dirname(path)
    pointed_at = os.path.normpath(os.path.join(base, place.lstrip("/"))) if place else path
    if os.path.relpath(pointed_at, root).startswith(".."):
        return "leaves the repository"
    if not os.path.exists(pointed_at):
        return "is not there"
    if anchor and pointed_at.endswith(".md") and unquote(anchor) not in anchors(pointed_at):
        return f"has no heading #{anchor}"
    return None


def main(root):
    links, problems = 0, []
    for path in markdown_files(root):
        for number, line in lines_outside_fences(path):
            line = re.sub(r"(`+).*?\1", lambda code: "x" * len(code.group()), line)
            targets = INLINE.findall(line) + REFERENCE.findall(line)
            for target in targets:
                if ELSEWHERE.match(target):
                    continue
                links += 1
                wrong = problem(root, path, target)
                if wrong:
                    problems.append(f"{os.path.relpath(path, root)}:{number}: {target} {wrong}")
    print("\n".join(problems) or f"{links} links, all good")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".")))
